package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.ratelimit.RateLimitKeyResolver;

/** Compiles the keys of rate limit rules that are expressions. */
@FunctionalInterface
interface RateLimitExpressions {

	/**
	 * Compiles an expression.
	 * @param expression the expression
	 * @return what finds its value for a call
	 * @throws IllegalArgumentException if it is none; the message is a sentence
	 */
	RateLimitKeyResolver compile(String expression);

}
