package io.github.grpcsecurity.authentication.certificate;

import java.text.Normalizer;
import java.util.List;
import java.util.Locale;

import javax.security.auth.x500.X500Principal;

import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.PeerIdentity.Kind;

import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.authority.AuthorityUtils;

/**
 * Gives authorities to the owners of some certificates.
 * <p>
 * What it is written like decides which names it is compared with, so that a name of one
 * kind never passes for one of another: with {@code ://} URIs, with {@code =} subjects
 * (RFC 2253, in any spelling of the same name), with 64 hexadecimal digits fingerprints,
 * otherwise DNS names, whatever their case. A {@code *} at the end stands for any rest,
 * in URIs after a {@code /}; one at the beginning of a DNS name for a single label.
 * Immutable.
 *
 * @since 0.1.0
 */
public final class CertificateMapping {

	private final String principal;

	private final Kind kind;

	private final String pattern;

	private final List<GrantedAuthority> authorities;

	/**
	 * Creates a mapping.
	 * @param principal name of the owner, or a pattern for several
	 * @param authorities what they may do
	 * @throws IllegalArgumentException if the name is empty or malformed, or has a
	 * {@code *} where it stands for nothing
	 */
	public CertificateMapping(String principal, List<String> authorities) {
		this.principal = principal;
		if (principal.isBlank()) {
			throw new IllegalArgumentException("it is empty: name a URI, a DNS name or a subject");
		}
		if (principal.contains("://")) {
			this.kind = Kind.URI;
			requireWildcard(principal, principal.endsWith("/*") ? principal.length() - 1 : -1,
					"only as the last segment of a URI, as in spiffe://bank/tellers/*");
			if (principal.endsWith("://*")) {
				throw new IllegalArgumentException("it stands for every URI: name a trust domain or a host");
			}
			this.pattern = principal;
		}
		else if (principal.indexOf('=') >= 0) {
			this.kind = Kind.SUBJECT;
			this.pattern = canonical(principal);
		}
		else if (principal.matches("[0-9a-fA-F]{64}")) {
			this.kind = Kind.FINGERPRINT;
			this.pattern = principal.toLowerCase(Locale.ROOT);
		}
		else {
			this.kind = Kind.DNS;
			requireWildcard(principal, principal.startsWith("*.") ? 0 : -1,
					"only as the first label of a DNS name, as in *.tellers.bank.example");
			this.pattern = principal.toLowerCase(Locale.ROOT);
		}
		this.authorities = AuthorityUtils.createAuthorityList(authorities);
	}

	private static void requireWildcard(String principal, int allowed, String where) {
		int wildcard = principal.indexOf('*');
		if (wildcard >= 0 && wildcard != allowed) {
			throw new IllegalArgumentException("a * is possible " + where);
		}
	}

	private static String canonical(String subject) {
		try {
			return new X500Principal(subject).getName(X500Principal.CANONICAL);
		}
		catch (IllegalArgumentException ex) {
			throw new IllegalArgumentException(
					"it is written like a subject, but none as RFC 2253 has them, such as CN=teller,O=Bank", ex);
		}
	}

	/**
	 * What the owner is called in this mapping.
	 * @return the name or pattern, as it was given
	 */
	public String principal() {
		return this.principal;
	}

	List<GrantedAuthority> authorities() {
		return this.authorities;
	}

	boolean matches(PeerIdentity identity) {
		return switch (identity.kind()) {
			case URI -> this.kind == Kind.URI && identity.names().stream().anyMatch(this::matchesUri);
			case DNS -> this.kind == Kind.DNS && identity.names().stream().anyMatch(this::matchesDnsName);
			case SUBJECT -> this.kind == Kind.SUBJECT && matchesSubject(identity.name());
			case FINGERPRINT -> this.kind == Kind.FINGERPRINT && this.pattern.equals(identity.name());
		};
	}

	private boolean matchesUri(String uri) {
		if (!this.pattern.endsWith("/*")) {
			return this.pattern.equals(uri);
		}
		int prefix = this.pattern.length() - 1;
		return uri.length() > prefix && uri.startsWith(this.pattern.substring(0, prefix));
	}

	private boolean matchesDnsName(String name) {
		String dnsName = name.toLowerCase(Locale.ROOT);
		if (!this.pattern.startsWith("*.")) {
			return this.pattern.equals(dnsName);
		}
		int dot = dnsName.indexOf('.');
		return dot > 0 && this.pattern.substring(1).equals(dnsName.substring(dot));
	}

	private boolean matchesSubject(String subject) {
		if (!Normalizer.isNormalized(subject, Normalizer.Form.NFKC)) {
			// To Java, a full-width T is a T; to the authority that issued it, it may not
			// be
			return false;
		}
		try {
			return this.pattern.equals(new X500Principal(subject).getName(X500Principal.CANONICAL));
		}
		catch (IllegalArgumentException ex) {
			// As a proxy told it, who knows how
			return false;
		}
	}

	@Override
	public String toString() {
		return this.principal + " " + this.authorities;
	}

}
