package io.github.grpcsecurity.server;

import java.time.Instant;
import java.util.Map;
import java.util.Objects;

import org.jspecify.annotations.Nullable;

import org.springframework.security.core.Authentication;

/**
 * One credential that a caller presented and that was found good: whom it identifies, how
 * long it lasts, and by which names it can be revoked.
 * <p>
 * It holds no secret: what was presented is not kept here. Immutable.
 *
 * @since 0.1.0
 */
public final class VerifiedCredential {

	/** The kind of a JSON Web Token. */
	public static final String JWT = "jwt";

	/** The kind of an OAuth2 token that its issuer was asked about. */
	public static final String OPAQUE_TOKEN = "opaque-token";

	/** The kind of a client certificate. */
	public static final String CERTIFICATE = "certificate";

	/** The kind of a service account that a connection has proved with ALTS. */
	public static final String ALTS = "alts";

	/** The kind of an API key. */
	public static final String API_KEY = "api-key";

	/** The kind of a user name with its password. */
	public static final String BASIC = "basic";

	private final String kind;

	private final Subject subject;

	private final Authentication authentication;

	private final @Nullable String issuer;

	private final @Nullable String id;

	private final @Nullable String keyId;

	private final @Nullable Instant issuedAt;

	private final @Nullable Instant expiresAt;

	private final Map<String, Object> claims;

	private VerifiedCredential(Builder builder) {
		this.kind = builder.kind;
		this.subject = builder.subject;
		this.authentication = builder.authentication;
		this.issuer = builder.issuer;
		this.id = builder.id;
		this.keyId = builder.keyId;
		this.issuedAt = builder.issuedAt;
		this.expiresAt = builder.expiresAt;
		this.claims = builder.claims;
	}

	/**
	 * A credential of a user that never runs out and cannot be revoked.
	 * @param kind its kind in lower-case words joined by hyphens, such as {@code api-key}
	 * @param authentication the verified identity
	 * @return the credential
	 */
	public static VerifiedCredential of(String kind, Authentication authentication) {
		return builder(kind, Subject.USER, authentication).build();
	}

	/**
	 * Starts to describe a credential.
	 * @param kind its kind in lower-case words joined by hyphens
	 * @param subject what it identifies
	 * @param authentication the verified identity
	 * @return a builder for a credential that never runs out and cannot be revoked
	 */
	public static Builder builder(String kind, Subject subject, Authentication authentication) {
		return new Builder(kind, subject, authentication);
	}

	/**
	 * What kind of credential this is.
	 * @return the kind, such as {@value #JWT}
	 */
	public String kind() {
		return this.kind;
	}

	/**
	 * What it identifies.
	 * @return the subject
	 */
	public Subject subject() {
		return this.subject;
	}

	/**
	 * The identity it proves, by itself.
	 * @return the identity; one that is not authenticated identifies nobody
	 */
	public Authentication authentication() {
		return this.authentication;
	}

	/**
	 * Who vouches for it.
	 * @return the {@code iss} of a token; {@code null} where there is none
	 */
	public @Nullable String issuer() {
		return this.issuer;
	}

	/**
	 * The name by which this one credential can be revoked.
	 * @return the {@code jti} of a token, the id of an API key; {@code null} if it has
	 * none
	 */
	public @Nullable String id() {
		return this.id;
	}

	/**
	 * The name of the key that the credential was signed with.
	 * @return the {@code kid} of a token; {@code null} if it has none
	 */
	public @Nullable String keyId() {
		return this.keyId;
	}

	/**
	 * When it was issued.
	 * @return the {@code iat} of a token; {@code null} if that is not known
	 */
	public @Nullable Instant issuedAt() {
		return this.issuedAt;
	}

	/**
	 * When it runs out, the tolerance for clocks that are off not counted.
	 * @return the first instant at which it is no longer good; {@code null} if that is
	 * not known, or it never does
	 */
	public @Nullable Instant expiresAt() {
		return this.expiresAt;
	}

	/**
	 * What a token says about its subject.
	 * @return an unmodifiable map; empty for credentials that are no tokens
	 */
	public Map<String, Object> claims() {
		return this.claims;
	}

	@Override
	public String toString() {
		return this.kind + " of " + this.subject;
	}

	/** What a credential identifies, the one that a call is named after first. */
	public enum Subject {

		/** Whoever the call is made for: a person, or a service that acts by itself. */
		USER,

		/** The application that asks. */
		APPLICATION,

		/** The process at the other end of the connection. */
		WORKLOAD

	}

	/** Describes a credential. Not thread-safe. */
	public static final class Builder {

		private final String kind;

		private final Subject subject;

		private final Authentication authentication;

		private @Nullable String issuer;

		private @Nullable String id;

		private @Nullable String keyId;

		private @Nullable Instant issuedAt;

		private @Nullable Instant expiresAt;

		private Map<String, Object> claims = Map.of();

		private Builder(String kind, Subject subject, Authentication authentication) {
			this.kind = Objects.requireNonNull(kind, "kind");
			this.subject = Objects.requireNonNull(subject, "subject");
			this.authentication = Objects.requireNonNull(authentication, "authentication");
		}

		/**
		 * Sets who vouches for it.
		 * @param issuer the issuer
		 * @return this builder
		 */
		public Builder issuer(@Nullable String issuer) {
			this.issuer = issuer;
			return this;
		}

		/**
		 * Sets the name by which it can be revoked.
		 * @param id the name; unique among the credentials of its issuer and kind
		 * @return this builder
		 */
		public Builder id(@Nullable String id) {
			this.id = id;
			return this;
		}

		/**
		 * Sets the name of the key that it was signed with.
		 * @param keyId the name
		 * @return this builder
		 */
		public Builder keyId(@Nullable String keyId) {
			this.keyId = keyId;
			return this;
		}

		/**
		 * Sets when it was issued.
		 * @param issuedAt the instant
		 * @return this builder
		 */
		public Builder issuedAt(@Nullable Instant issuedAt) {
			this.issuedAt = issuedAt;
			return this;
		}

		/**
		 * Sets when it runs out.
		 * @param expiresAt the first instant at which it is no longer good
		 * @return this builder
		 */
		public Builder expiresAt(@Nullable Instant expiresAt) {
			this.expiresAt = expiresAt;
			return this;
		}

		/**
		 * Sets what a token says about its subject.
		 * @param claims an unmodifiable map
		 * @return this builder
		 */
		public Builder claims(Map<String, Object> claims) {
			this.claims = Objects.requireNonNull(claims, "claims");
			return this;
		}

		/**
		 * Puts everything together.
		 * @return the credential
		 */
		public VerifiedCredential build() {
			return new VerifiedCredential(this);
		}

	}

}
