package io.github.grpcsecurity.tls;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;

/**
 * Counts looks at certificate revocation lists. Without lists there is no meter.
 * Thread-safe.
 *
 * @since 0.1.0
 */
public final class MicrometerRevocationReloadObserver implements RevocationReloadObserver {

	/** Name of the counter; its tag is {@code result}. */
	public static final String RELOAD = "grpc.security.tls.crl.reload";

	private final MeterRegistry registry;

	/**
	 * Creates the observer.
	 * @param registry where the counter is registered
	 */
	public MicrometerRevocationReloadObserver(MeterRegistry registry) {
		this.registry = registry;
	}

	@Override
	public void looked(boolean complete) {
		Counter.builder(RELOAD)
			.description("Looks at the files with certificate revocation lists")
			.tag("result", complete ? "success" : "failure")
			.register(this.registry)
			.increment();
	}

}
