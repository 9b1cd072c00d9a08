package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.tls.TlsConfigurationException;

import org.springframework.boot.diagnostics.AbstractFailureAnalyzer;
import org.springframework.boot.diagnostics.FailureAnalysis;

/** Shows what is wrong with the transport, and each way out. */
final class TlsConfigurationFailureAnalyzer extends AbstractFailureAnalyzer<TlsConfigurationException> {

	@Override
	protected FailureAnalysis analyze(Throwable rootFailure, TlsConfigurationException cause) {
		return new FailureAnalysis(cause.getMessage(), cause.wayOut(), cause);
	}

}
