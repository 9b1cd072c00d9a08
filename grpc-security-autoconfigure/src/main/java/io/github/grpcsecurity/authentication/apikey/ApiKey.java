package io.github.grpcsecurity.authentication.apikey;

import java.net.InetAddress;
import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.regex.Pattern;

import io.github.grpcsecurity.server.AddressRange;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.SecuredMethod;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.authority.AuthorityUtils;

/**
 * What this server knows of one API key: whose it is, what it is good for, and the hash
 * of it. The key itself is known to its owner alone.
 * <p>
 * A client may have several keys at a time, each with an id of its own and the same
 * {@link #principal()}: that is how keys are replaced without an outage. Two keys are
 * equal if nothing about them differs. Immutable.
 *
 * @since 0.1.0
 */
public final class ApiKey {

	private static final Pattern ID = Pattern.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}");

	private final String id;

	private final ApiKeyHash hash;

	private final String principal;

	private final List<GrantedAuthority> authorities;

	private final @Nullable Instant expiresAt;

	private final boolean enabled;

	private final List<MethodPattern> allowedMethods;

	private final List<AddressRange> allowedAddresses;

	private ApiKey(Builder builder) {
		this.id = builder.id;
		this.hash = builder.hash;
		this.principal = builder.principal;
		this.authorities = builder.authorities;
		this.expiresAt = builder.expiresAt;
		this.enabled = builder.enabled;
		this.allowedMethods = builder.allowedMethods;
		this.allowedAddresses = builder.allowedAddresses;
	}

	/**
	 * Starts to describe a key.
	 * @param id what the key starts with, up to its first dot: 1 to 64 letters, digits,
	 * hyphens and underscores, of which the first is a letter or a digit
	 * @param hash {@code sha256:} and the lower-case hexadecimal SHA-256 of the whole
	 * key, as {@link ApiKeyMaker} prints it
	 * @return a builder for a key that never runs out and is good for all methods from
	 * everywhere, without authorities
	 * @throws IllegalArgumentException if one of them is malformed; the message says
	 * which, and quotes no hash
	 */
	public static Builder builder(String id, String hash) {
		return new Builder(id, hash);
	}

	static boolean isId(String text) {
		return ID.matcher(text).matches();
	}

	/**
	 * The name of the key, which is no secret.
	 * @return the id
	 */
	public String id() {
		return this.id;
	}

	/**
	 * Who calls with this key.
	 * @return the name of the client; the id of the key unless it was set
	 */
	public String principal() {
		return this.principal;
	}

	/**
	 * What the client may do.
	 * @return an unmodifiable list
	 */
	public List<GrantedAuthority> authorities() {
		return this.authorities;
	}

	/**
	 * When the key runs out.
	 * @return the first instant at which it is no longer good; {@code null} if it never
	 * does
	 */
	public @Nullable Instant expiresAt() {
		return this.expiresAt;
	}

	/**
	 * Whether the key is in use.
	 * @return {@code false} for a key that is known but refused
	 */
	public boolean enabled() {
		return this.enabled;
	}

	/**
	 * Whether a secret is the one of this key.
	 * @param presented the hash of what a caller sent
	 */
	boolean matches(ApiKeyHash presented) {
		return this.hash.equals(presented);
	}

	boolean expired(Instant now) {
		return this.expiresAt != null && !now.isBefore(this.expiresAt);
	}

	boolean allows(SecuredMethod method) {
		if (this.allowedMethods.isEmpty()) {
			return true;
		}
		for (MethodPattern pattern : this.allowedMethods) {
			if (pattern.matches(method)) {
				return true;
			}
		}
		return false;
	}

	boolean allows(@Nullable InetAddress address) {
		if (this.allowedAddresses.isEmpty()) {
			return true;
		}
		if (address == null) {
			return false;
		}
		for (AddressRange range : this.allowedAddresses) {
			if (range.contains(address)) {
				return true;
			}
		}
		return false;
	}

	@Override
	public boolean equals(Object other) {
		return other instanceof ApiKey that && this.id.equals(that.id) && this.hash.equals(that.hash)
				&& this.principal.equals(that.principal) && this.authorities.equals(that.authorities)
				&& Objects.equals(this.expiresAt, that.expiresAt) && this.enabled == that.enabled
				&& this.allowedMethods.equals(that.allowedMethods)
				&& this.allowedAddresses.equals(that.allowedAddresses);
	}

	@Override
	public int hashCode() {
		return this.id.hashCode();
	}

	@Override
	public String toString() {
		return "ApiKey " + this.id;
	}

	/** Describes a key. Not thread-safe. */
	public static final class Builder {

		private final String id;

		private final ApiKeyHash hash;

		private String principal;

		private List<GrantedAuthority> authorities = List.of();

		private @Nullable Instant expiresAt;

		private boolean enabled = true;

		private List<MethodPattern> allowedMethods = List.of();

		private List<AddressRange> allowedAddresses = List.of();

		private Builder(String id, String hash) {
			if (!isId(id)) {
				throw new IllegalArgumentException("id is not 1 to 64 letters, digits, hyphens and underscores,"
						+ " beginning with a letter or digit");
			}
			this.id = id;
			this.hash = ApiKeyHash.parse(hash);
			this.principal = id;
		}

		/**
		 * Sets who calls with this key, for clients that have several.
		 * @param principal the name of the client; not blank
		 * @return this builder
		 */
		public Builder principal(String principal) {
			if (principal.isBlank()) {
				throw new IllegalArgumentException("principal is empty: name the client, or leave it out");
			}
			this.principal = principal;
			return this;
		}

		/**
		 * Sets what the client may do.
		 * @param authorities the authorities, such as {@code ROLE_PARTNER}
		 * @return this builder
		 */
		public Builder authorities(Collection<String> authorities) {
			if (authorities.stream().anyMatch(String::isBlank)) {
				throw new IllegalArgumentException("authorities has an empty one");
			}
			this.authorities = List.copyOf(AuthorityUtils.createAuthorityList(authorities));
			return this;
		}

		/**
		 * Sets when the key runs out.
		 * @param expiresAt the first instant at which it is no longer good; {@code null}
		 * for never
		 * @return this builder
		 */
		public Builder expiresAt(@Nullable Instant expiresAt) {
			this.expiresAt = expiresAt;
			return this;
		}

		/**
		 * Sets whether the key is in use.
		 * @param enabled {@code false} to refuse it
		 * @return this builder
		 */
		public Builder enabled(boolean enabled) {
			this.enabled = enabled;
			return this;
		}

		/**
		 * Sets for which methods the key is good. Others answer with
		 * {@code PERMISSION_DENIED}.
		 * @param patterns patterns such as {@code bank.Accounts/Get*}; empty for all
		 * methods
		 * @return this builder
		 * @throws IllegalArgumentException if one is malformed
		 */
		public Builder allowedMethods(Collection<String> patterns) {
			this.allowedMethods = patterns.stream().map(MethodPattern::parse).toList();
			return this;
		}

		/**
		 * Sets from where the key may be used. Calls from elsewhere end with
		 * {@code PERMISSION_DENIED}, and so do those whose address nobody knows.
		 * @param addresses addresses and blocks such as {@code 10.0.0.0/8}; empty for
		 * everywhere
		 * @return this builder
		 * @throws IllegalArgumentException if one is malformed
		 */
		public Builder allowedAddresses(Collection<String> addresses) {
			this.allowedAddresses = addresses.stream().map(Builder::range).toList();
			return this;
		}

		private static AddressRange range(String text) {
			try {
				return AddressRange.parse(text.strip());
			}
			catch (IllegalArgumentException ex) {
				throw new IllegalArgumentException("allowed-addresses cannot have '" + text + "': " + ex.getMessage(),
						ex);
			}
		}

		/**
		 * Puts everything together.
		 * @return the key
		 */
		public ApiKey build() {
			return new ApiKey(this);
		}

	}

}
