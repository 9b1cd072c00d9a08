package io.github.grpcsecurity.autoconfigure;

import java.util.regex.Pattern;

import io.github.grpcsecurity.ratelimit.RateLimitKey;
import io.github.grpcsecurity.ratelimit.RateLimitKeyResolver;
import org.jspecify.annotations.Nullable;

import org.springframework.beans.factory.BeanFactory;

/**
 * Reads the keys of rules: one word is a key of ours or the name of a bean, anything else
 * an expression. No variable of an expression is a single word.
 */
final class RateLimitKeys {

	private static final Pattern WORD = Pattern.compile("[A-Za-z0-9_$-]*");

	private final BeanFactory beans;

	private final @Nullable RateLimitExpressions expressions;

	RateLimitKeys(BeanFactory beans, @Nullable RateLimitExpressions expressions) {
		this.beans = beans;
		this.expressions = expressions;
	}

	/**
	 * Reads a key.
	 * @param text the key, as users write it
	 * @return the key
	 * @throws IllegalArgumentException if there is no such key; the message is a sentence
	 */
	RateLimitKey key(String text) {
		if (RateLimitKey.known(text)) {
			return RateLimitKey.parse(text);
		}
		if (this.beans.containsBean(text) && this.beans.isTypeMatch(text, RateLimitKeyResolver.class)) {
			return RateLimitKey.of(text, this.beans.getBean(text, RateLimitKeyResolver.class));
		}
		if (WORD.matcher(text).matches()) {
			throw new IllegalArgumentException("there is no key '" + text + "' and no RateLimitKeyResolver bean of that"
					+ " name; use peer, principal, issuer, api-key, method, service, global, call, header:<name>, such a"
					+ " bean, or an expression in CEL");
		}
		if (this.expressions == null) {
			throw new IllegalArgumentException("'" + text + "' is an expression in CEL, which is not on the class path;"
					+ " add dev.cel:cel, or use peer, principal, issuer, api-key, method, service, global, call or"
					+ " header:<name>");
		}
		return RateLimitKey.of(text, this.expressions.compile(text));
	}

}
