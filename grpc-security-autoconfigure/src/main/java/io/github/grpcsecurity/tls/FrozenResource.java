package io.github.grpcsecurity.tls;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;

import org.jspecify.annotations.Nullable;

import org.springframework.core.io.AbstractResource;
import org.springframework.core.io.Resource;

/** A file as it was when it was read once, even if that failed. */
final class FrozenResource extends AbstractResource {

	private final Resource original;

	private final byte[] content;

	private final @Nullable IOException failure;

	private final boolean missing;

	FrozenResource(Resource original) {
		this.original = original;
		byte[] read = {};
		IOException failed = null;
		try (InputStream in = original.getInputStream()) {
			read = in.readAllBytes();
		}
		catch (IOException ex) {
			failed = ex;
		}
		this.content = read;
		this.failure = failed;
		this.missing = failed != null && !original.exists();
	}

	void addTo(MessageDigest digest) {
		String state = (this.failure != null) ? this.failure.getClass().getName() : "read " + this.content.length;
		digest.update((state + '\n').getBytes(StandardCharsets.UTF_8));
		digest.update(this.content);
	}

	@Override
	public boolean exists() {
		return !this.missing;
	}

	@Override
	public InputStream getInputStream() throws IOException {
		if (this.failure != null) {
			throw this.failure;
		}
		return new ByteArrayInputStream(this.content);
	}

	@Override
	public boolean isFile() {
		return this.original.isFile();
	}

	@Override
	public File getFile() throws IOException {
		return this.original.getFile();
	}

	@Override
	public String getDescription() {
		return this.original.getDescription();
	}

}
