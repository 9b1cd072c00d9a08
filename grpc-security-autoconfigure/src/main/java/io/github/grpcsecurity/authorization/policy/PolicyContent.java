package io.github.grpcsecurity.authorization.policy;

import java.io.IOException;
import java.io.InputStream;

import org.jspecify.annotations.Nullable;

import org.springframework.core.io.Resource;

/** What was in a policy file when it was read, even if that failed. */
final class PolicyContent {

	private final String digest;

	private final byte[] bytes;

	private final @Nullable IOException failure;

	private PolicyContent(String digest, byte[] bytes, @Nullable IOException failure) {
		this.digest = digest;
		this.bytes = bytes;
		this.failure = failure;
	}

	static PolicyContent of(Resource resource) {
		try (InputStream in = resource.getInputStream()) {
			// One more, so that too much is noticed without reading all of it
			byte[] bytes = in.readNBytes(AuthorizationPolicy.MAX_SIZE + 1);
			return new PolicyContent(AuthorizationPolicy.hash(bytes), bytes, null);
		}
		catch (IOException ex) {
			return new PolicyContent(ex.getClass().getName(), new byte[0], ex);
		}
	}

	/** Tells this content from any other. */
	String digest() {
		return this.digest;
	}

	AuthorizationPolicy parse() {
		if (this.failure != null) {
			throw new InvalidPolicyException("", "It cannot be read (" + this.failure.getClass().getSimpleName() + ").",
					"Let the property name a file that the server may read, as a path, file: or classpath: location.",
					this.failure);
		}
		return AuthorizationPolicy.parse(this.bytes);
	}

}
