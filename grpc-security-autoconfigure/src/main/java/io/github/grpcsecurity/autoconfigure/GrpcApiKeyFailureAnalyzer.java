package io.github.grpcsecurity.autoconfigure;

import org.springframework.boot.diagnostics.AbstractFailureAnalyzer;
import org.springframework.boot.diagnostics.FailureAnalysis;

/** Says what is wrong with API keys, without showing what was written. */
final class GrpcApiKeyFailureAnalyzer extends AbstractFailureAnalyzer<InvalidApiKeyException> {

	@Override
	protected FailureAnalysis analyze(Throwable rootFailure, InvalidApiKeyException cause) {
		return new FailureAnalysis("An API key cannot be used. " + cause.getMessage(),
				"Correct " + cause.property() + ". To make a key and its entry, run "
						+ "java -cp <class path> io.github.grpcsecurity.authentication.apikey.ApiKeyMaker <id>.",
				cause);
	}

}
