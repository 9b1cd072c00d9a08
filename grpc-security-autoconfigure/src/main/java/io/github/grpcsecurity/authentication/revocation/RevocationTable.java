package io.github.grpcsecurity.authentication.revocation;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;

import io.github.grpcsecurity.authentication.revocation.Revocation.Kind;
import io.github.grpcsecurity.server.VerifiedCredential;
import org.jspecify.annotations.Nullable;

/**
 * What is revoked, as far as this server knows. To look something up takes constant time
 * and no lock. Thread-safe.
 */
final class RevocationTable {

	private final ConcurrentHashMap<Name, Revocation> revocations = new ConcurrentHashMap<>();

	private final int maxEntries;

	RevocationTable(int maxEntries) {
		this.maxEntries = maxEntries;
	}

	/**
	 * Adds revocations.
	 * @return whether that says something new
	 * @throws IllegalStateException if there is no room
	 */
	synchronized boolean add(Collection<Revocation> added, Instant now) {
		boolean changed = false;
		for (Revocation revocation : added) {
			if (!revocation.until().isAfter(now)) {
				continue;
			}
			Name name = Name.of(revocation);
			Revocation known = this.revocations.get(name);
			Revocation merged = (known != null) ? merge(known, revocation) : revocation;
			if (merged.equals(known)) {
				continue;
			}
			if (known == null && this.revocations.size() >= this.maxEntries) {
				purge(now);
				if (this.revocations.size() >= this.maxEntries) {
					throw new IllegalStateException("more than " + this.maxEntries + " revocations are in force");
				}
			}
			this.revocations.put(name, merged);
			changed = true;
		}
		return changed;
	}

	private static Revocation merge(Revocation one, Revocation other) {
		Instant before = one.before();
		Instant otherBefore = other.before();
		return new Revocation(one.kind(), one.issuer(), one.name(),
				(before != null && otherBefore != null && before.isBefore(otherBefore)) ? otherBefore : before,
				one.until().isBefore(other.until()) ? other.until() : one.until());
	}

	void purge(Instant now) {
		this.revocations.values().removeIf((revocation) -> !revocation.until().isAfter(now));
	}

	/** What is in force here and is missing there. */
	List<Revocation> missingIn(Collection<Revocation> others, Instant now) {
		RevocationTable there = new RevocationTable(Integer.MAX_VALUE);
		there.add(others, now);
		List<Revocation> missing = new ArrayList<>();
		this.revocations.forEach((name, revocation) -> {
			if (revocation.until().isAfter(now)) {
				Revocation known = there.revocations.get(name);
				if (known == null || !merge(known, revocation).equals(known)) {
					missing.add(revocation);
				}
			}
		});
		return missing;
	}

	int size() {
		return this.revocations.size();
	}

	/** What revokes a credential. */
	@Nullable Kind find(VerifiedCredential credential, Instant now) {
		if (this.revocations.isEmpty() || !revocable(credential)) {
			return null;
		}
		if (credential.kind().equals(VerifiedCredential.API_KEY)) {
			String id = credential.id();
			return (id != null && get(Kind.API_KEY, null, id, now) != null) ? Kind.API_KEY : null;
		}
		if (inForce(Kind.TOKEN, credential, credential.id(), now)) {
			return Kind.TOKEN;
		}
		if (inForce(Kind.KEY, credential, credential.keyId(), now)) {
			return Kind.KEY;
		}
		return inForce(Kind.SUBJECT, credential, subject(credential), now) ? Kind.SUBJECT : null;
	}

	/** Whether there is anything that a credential can be revoked by. */
	static boolean revocable(VerifiedCredential credential) {
		return !credential.kind().equals(VerifiedCredential.CERTIFICATE)
				&& !credential.kind().equals(VerifiedCredential.BASIC);
	}

	private static String subject(VerifiedCredential credential) {
		return (credential.claims().get("sub") instanceof String subject) ? subject
				: credential.authentication().getName();
	}

	private boolean inForce(Kind kind, VerifiedCredential credential, @Nullable String name, Instant now) {
		if (name == null) {
			return false;
		}
		String issuer = credential.issuer();
		return (issuer != null && applies(get(kind, issuer, name, now), credential))
				|| applies(get(kind, null, name, now), credential);
	}

	private @Nullable Revocation get(Kind kind, @Nullable String issuer, String name, Instant now) {
		Revocation revocation = this.revocations.get(new Name(kind, issuer, name));
		return (revocation != null && revocation.until().isAfter(now)) ? revocation : null;
	}

	private static boolean applies(@Nullable Revocation revocation, VerifiedCredential credential) {
		if (revocation == null) {
			return false;
		}
		Instant before = revocation.before();
		Instant issuedAt = credential.issuedAt();
		return before == null || issuedAt == null || issuedAt.isBefore(before);
	}

	/** Under which name something is looked up. */
	private record Name(Kind kind, @Nullable String issuer, String name) {

		static Name of(Revocation revocation) {
			return new Name(revocation.kind(), revocation.issuer(), revocation.name());
		}

	}

}
