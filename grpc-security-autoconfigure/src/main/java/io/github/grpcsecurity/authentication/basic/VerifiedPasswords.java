package io.github.grpcsecurity.authentication.basic;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.LinkedHashMap;
import java.util.Map;

import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import org.jspecify.annotations.Nullable;

import org.springframework.security.core.Authentication;

/**
 * Remembers for a short time which passwords were good, by an HMAC under a key that this
 * process alone has and never writes down. Passwords that were bad are not remembered, so
 * nobody fills this without knowing good ones. Thread-safe.
 */
final class VerifiedPasswords {

	private static final String ALGORITHM = "HmacSHA256";

	private final SecretKeySpec secret;

	private final Duration ttl;

	private final int maxEntries;

	private final InstantSource clock;

	private final Map<ByteBuffer, Entry> entries = new LinkedHashMap<>(16, 0.75f, true);

	VerifiedPasswords(Duration ttl, int maxEntries, InstantSource clock) {
		byte[] key = new byte[32];
		new SecureRandom().nextBytes(key);
		this.secret = new SecretKeySpec(key, ALGORITHM);
		this.ttl = ttl;
		this.maxEntries = maxEntries;
		this.clock = clock;
	}

	/** The name under which a password is remembered. */
	ByteBuffer name(UserPassword user) {
		try {
			Mac mac = Mac.getInstance(ALGORITHM);
			mac.init(this.secret);
			mac.update(user.name().getBytes(StandardCharsets.UTF_8));
			// No name has one
			mac.update((byte) ':');
			mac.update(user.password().getBytes(StandardCharsets.UTF_8));
			return ByteBuffer.wrap(mac.doFinal());
		}
		catch (GeneralSecurityException ex) {
			throw new IllegalStateException("Every Java platform has HMAC with SHA-256", ex);
		}
	}

	@Nullable Authentication get(ByteBuffer name) {
		if (this.ttl.isZero()) {
			return null;
		}
		synchronized (this.entries) {
			Entry entry = this.entries.get(name);
			if (entry == null) {
				return null;
			}
			if (!this.clock.instant().isBefore(entry.until())) {
				this.entries.remove(name);
				return null;
			}
			return entry.authentication();
		}
	}

	void put(ByteBuffer name, Authentication authentication) {
		if (this.ttl.isZero()) {
			return;
		}
		synchronized (this.entries) {
			this.entries.put(name, new Entry(authentication, this.clock.instant().plus(this.ttl)));
			if (this.entries.size() > this.maxEntries) {
				this.entries.remove(this.entries.keySet().iterator().next());
			}
		}
	}

	private record Entry(Authentication authentication, Instant until) {
	}

}
