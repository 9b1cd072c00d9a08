package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.authorization.UnenforceableAnnotationException;

import org.springframework.boot.diagnostics.AbstractFailureAnalyzer;
import org.springframework.boot.diagnostics.FailureAnalysis;

/**
 * Explains why a server does not start that has a security annotation which would not do
 * what it says.
 */
final class GrpcAuthorizationFailureAnalyzer extends AbstractFailureAnalyzer<UnenforceableAnnotationException> {

	@Override
	protected FailureAnalysis analyze(Throwable rootFailure, UnenforceableAnnotationException cause) {
		return new FailureAnalysis(cause.getMessage(), cause.action(), cause);
	}

}
