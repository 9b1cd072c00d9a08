package io.github.grpcsecurity.tls;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;

import org.jspecify.annotations.Nullable;

import org.springframework.core.io.AbstractResource;
import org.springframework.core.io.Resource;

/** A file as it was when it was read once, even if that failed. */
final class FrozenResource extends AbstractResource {

	private static final int MAX_BYTES = 16 * 1024 * 1024;

	private final Resource original;

	private final byte[] content;

	private final @Nullable IOException failure;

	private final boolean missing;

	FrozenResource(Resource original) {
		this.original = original;
		byte[] read = {};
		IOException failed = null;
		try {
			read = content(original);
		}
		catch (IOException ex) {
			failed = ex;
		}
		this.content = read;
		this.failure = failed;
		this.missing = failed != null && !original.exists();
	}

	/**
	 * Reads a file. A pipe would not end, and a file that is far too long would leave no
	 * memory to the calls of the server.
	 */
	static byte[] content(Resource resource) throws IOException {
		if (!(resource instanceof FrozenResource) && resource.isFile()) {
			Path file = resource.getFile().toPath();
			if (Files.exists(file) && !Files.isRegularFile(file)) {
				throw new UnusableFileException("it is no regular file");
			}
		}
		try (InputStream in = resource.getInputStream()) {
			byte[] content = in.readNBytes(MAX_BYTES + 1);
			if (content.length > MAX_BYTES) {
				throw new UnusableFileException("it is longer than 16 MB");
			}
			return content;
		}
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

	/** A file that no key, certificate or bundle is in. */
	static final class UnusableFileException extends IOException {

		private static final long serialVersionUID = 1L;

		UnusableFileException(String message) {
			super(message);
		}

	}

}
