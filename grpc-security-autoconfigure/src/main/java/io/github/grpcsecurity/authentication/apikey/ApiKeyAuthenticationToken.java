package io.github.grpcsecurity.authentication.apikey;

import java.util.Objects;

import org.jspecify.annotations.Nullable;

import org.springframework.security.authentication.AbstractAuthenticationToken;

/**
 * The identity that an API key proves. It does not hold the key.
 *
 * @since 0.1.0
 */
public final class ApiKeyAuthenticationToken extends AbstractAuthenticationToken {

	private static final long serialVersionUID = 1L;

	private final String principal;

	private final String keyId;

	/**
	 * Creates an identity that has been verified.
	 * @param key the key that was presented
	 */
	ApiKeyAuthenticationToken(ApiKey key) {
		super(key.authorities());
		this.principal = key.principal();
		this.keyId = key.id();
		super.setAuthenticated(true);
	}

	/**
	 * The key by which the client was recognized.
	 * @return the id of the key, which is no secret
	 */
	public String getKeyId() {
		return this.keyId;
	}

	@Override
	public Object getPrincipal() {
		return this.principal;
	}

	@Override
	public @Nullable Object getCredentials() {
		return null;
	}

	@Override
	public boolean equals(@Nullable Object other) {
		return super.equals(other) && other instanceof ApiKeyAuthenticationToken that && this.keyId.equals(that.keyId);
	}

	@Override
	public int hashCode() {
		return Objects.hash(super.hashCode(), this.keyId);
	}

}
