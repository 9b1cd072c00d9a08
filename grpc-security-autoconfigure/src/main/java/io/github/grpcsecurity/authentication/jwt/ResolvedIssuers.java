package io.github.grpcsecurity.authentication.jwt;

import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * The issuers that the application said it trusts when a token named them, up to a
 * number. Who has never had a good token goes first, so that made-up names cannot push
 * out the tenants that are at work.
 */
final class ResolvedIssuers {

	private static final Log logger = LogFactory.getLog(ResolvedIssuers.class);

	private final JwtIssuerResolver resolver;

	private final List<IssuerPattern> allowed;

	private final int max;

	private final Function<JwtIssuer, TokenIssuer> factory;

	private final ConcurrentHashMap<String, TokenIssuer> issuers = new ConcurrentHashMap<>();

	ResolvedIssuers(JwtIssuerResolver resolver, int max, Function<JwtIssuer, TokenIssuer> factory) {
		this.resolver = resolver;
		this.allowed = resolver.allowed().stream().map(IssuerPattern::parse).toList();
		this.max = max;
		this.factory = factory;
	}

	@Nullable TokenIssuer find(String name) {
		TokenIssuer known = this.issuers.get(name);
		if (known != null) {
			return known;
		}
		if (this.allowed.stream().noneMatch((pattern) -> pattern.matches(name))) {
			return null;
		}
		JwtIssuer issuer = this.resolver.resolve(name);
		if (issuer == null) {
			return null;
		}
		if (!issuer.issuer().equals(name)) {
			logger.warn("The JwtIssuerResolver (" + this.resolver.getClass().getName()
					+ ") answered with another issuer than it was asked for: it is not trusted");
			return null;
		}
		return add(issuer);
	}

	private synchronized TokenIssuer add(JwtIssuer issuer) {
		TokenIssuer known = this.issuers.get(issuer.issuer());
		if (known != null) {
			return known;
		}
		if (this.issuers.size() >= this.max) {
			this.issuers.values()
				.stream()
				.min((one, other) -> Long.compare(one.lastVerified(), other.lastVerified()))
				.ifPresent((oldest) -> forget(oldest.description().issuer()));
		}
		TokenIssuer added = this.factory.apply(issuer);
		this.issuers.put(issuer.issuer(), added);
		return added;
	}

	synchronized void forget(String name) {
		TokenIssuer forgotten = this.issuers.remove(name);
		if (forgotten != null) {
			forgotten.retire();
		}
	}

	synchronized void close() {
		this.issuers.values().forEach(TokenIssuer::retire);
		this.issuers.clear();
	}

	int size() {
		return this.issuers.size();
	}

}
