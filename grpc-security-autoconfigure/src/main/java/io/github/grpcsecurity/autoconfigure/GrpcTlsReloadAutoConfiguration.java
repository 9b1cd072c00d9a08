package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.util.Map;
import java.util.TreeMap;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.tls.TlsCredentials;
import io.github.grpcsecurity.tls.TlsReloadObserver;
import io.github.grpcsecurity.tls.TlsReloader;
import io.github.grpcsecurity.tls.TransportConfigurer;
import io.github.grpcsecurity.tls.WorkloadApi;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.ssl.SslBundles;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for taking renewed certificates into use while the server runs.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = { GrpcTransportAutoConfiguration.class, GrpcSecurityAutoConfiguration.class })
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnBean({ TransportConfigurer.class, GrpcSecurityThreads.class })
public final class GrpcTlsReloadAutoConfiguration {

	private static final String INTERVAL = "grpc.security.tls.reload-interval";

	private static final Duration SHORTEST = Duration.ofMillis(100);

	@Bean
	@ConditionalOnMissingBean
	TlsReloader grpcTlsReloader(TransportConfigurer transport, GrpcTlsProperties properties,
			GrpcSecurityThreads threads, ObjectProvider<TlsReloadObserver> observers,
			ObjectProvider<SslBundles> bundles, ObjectProvider<WorkloadApi> workload) {
		Duration interval = interval(properties);
		TlsReloader reloader = new TlsReloader(transport.credentials(), interval, threads,
				observers.orderedStream().toList());
		String bundle = properties.bundle();
		if (bundle != null && !interval.isZero() && transport.credentials() != null) {
			bundles.ifAvailable((all) -> all.addBundleUpdateHandler(bundle, (updated) -> reloader.reloadSoon()));
		}
		// An agent tells by itself, whatever the interval, and its SVIDs are short-lived
		TlsCredentials credentials = transport.credentials();
		if (credentials != null && credentials.current().origin().equals(WorkloadApi.PROPERTY)) {
			workload.ifAvailable((api) -> {
				api.onChange(reloader::reloadSoon);
				// It may have changed since it was loaded
				reloader.reloadSoon();
			});
		}
		if (!interval.isZero()) {
			reloadServerNames(transport, properties, threads, observers, bundles);
		}
		return reloader;
	}

	/** The interval for everything that is looked at again and again. */
	static Duration interval(GrpcTlsProperties properties) {
		Duration interval = properties.reloadInterval();
		if (!interval.isZero() && interval.compareTo(SHORTEST) < 0) {
			throw new InvalidConfigurationPropertyValueException(INTERVAL, interval,
					"Certificates are looked at every 100ms at most. Set it to a duration such as 10s, or to 0 to "
							+ "never look at them again");
		}
		return interval;
	}

	/**
	 * Certificates for server names come from SSL bundles, which say when they change.
	 */
	private static void reloadServerNames(TransportConfigurer transport, GrpcTlsProperties properties,
			GrpcSecurityThreads threads, ObjectProvider<TlsReloadObserver> observers,
			ObjectProvider<SslBundles> bundles) {
		Map<String, TlsCredentials> byHost = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
		byHost.putAll(transport.sniCertificates().byHost());
		for (GrpcTlsProperties.SniBundle entry : properties.sni()) {
			TlsCredentials credentials = byHost.get(entry.host());
			String bundle = entry.bundle();
			if (credentials != null && bundle != null) {
				TlsReloader reloader = new TlsReloader(credentials, Duration.ZERO, threads,
						observers.orderedStream().toList());
				bundles.ifAvailable((all) -> all.addBundleUpdateHandler(bundle, (updated) -> reloader.reloadSoon()));
			}
		}
	}

}
