package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.ratelimit.UnmatchedMethodPatternException;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.diagnostics.AbstractFailureAnalyzer;
import org.springframework.boot.diagnostics.FailureAnalysis;

/**
 * Explains why rate limits, or anything else in Redis, could not be set up, and each way
 * out.
 */
final class GrpcRateLimitFailureAnalyzer extends AbstractFailureAnalyzer<IllegalStateException> {

	private static final int MAX_METHODS = 20;

	@Override
	protected @Nullable FailureAnalysis analyze(Throwable rootFailure, IllegalStateException cause) {
		MissingRedisException missing = findCause(rootFailure, MissingRedisException.class);
		if (missing != null) {
			return new FailureAnalysis(missing.description(), missing.action(), missing);
		}
		UnmatchedMethodPatternException unmatched = findCause(rootFailure, UnmatchedMethodPatternException.class);
		if (unmatched != null) {
			StringBuilder action = new StringBuilder("Correct or remove the pattern. The server has: ");
			action.append(String.join(", ", unmatched.methods().stream().limit(MAX_METHODS).toList()));
			if (unmatched.methods().size() > MAX_METHODS) {
				action.append(" and ").append(unmatched.methods().size() - MAX_METHODS).append(" more");
			}
			return new FailureAnalysis(String.valueOf(unmatched.getMessage()), action.append('.').toString(),
					unmatched);
		}
		return null;
	}

}
