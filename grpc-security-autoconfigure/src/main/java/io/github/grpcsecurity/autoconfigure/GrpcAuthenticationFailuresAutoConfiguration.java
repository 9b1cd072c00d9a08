package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;

import io.github.grpcsecurity.authentication.AuthenticationFailureLimit;
import io.github.grpcsecurity.authentication.FailureCounter;
import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.InMemoryRateLimiter;
import io.github.grpcsecurity.ratelimit.PeerPermits;
import io.github.grpcsecurity.server.SecuredCall;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;

/**
 * Limits how often a peer may present bad credentials, with the arithmetic of rate
 * limits.
 *
 * @since 0.1.0
 */
@AutoConfiguration(before = GrpcAuthenticationAutoConfiguration.class)
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties(GrpcAuthenticationFailuresProperties.class)
public final class GrpcAuthenticationFailuresAutoConfiguration {

	private static final Log logger = LogFactory.getLog(GrpcAuthenticationFailuresAutoConfiguration.class);

	private static final String PREFIX = "grpc.security.authentication.failures";

	@Bean
	@ConditionalOnMissingBean
	AuthenticationFailureLimit grpcAuthenticationFailureLimit(FailureCounter counter) {
		return new AuthenticationFailureLimit(counter);
	}

	@Bean
	@ConditionalOnMissingBean
	FailureCounter grpcAuthenticationFailureCounter(GrpcAuthenticationFailuresProperties properties) {
		long limit = properties.limit();
		if (limit < 0) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".limit", limit,
					"It is negative. Set it to how many bad credentials a peer may present per period, or to 0 for no"
							+ " limit.");
		}
		if (limit == 0) {
			logger.warn("Bad credentials are not limited (" + PREFIX
					+ ".limit is 0): everybody may try out tokens, keys and passwords as fast as they like");
			return new Unlimited();
		}
		try {
			return new Limited(
					new PeerPermits("authentication-failures", new Gcra(limit, properties.period(), limit, 1),
							InMemoryRateLimiter.DEFAULT_MAX_KEYS, System::nanoTime));
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException(PREFIX, limit + " per " + properties.period(),
					ex.getMessage() + ".");
		}
	}

	/** Counts nothing. */
	private static final class Unlimited implements FailureCounter {

		@Override
		public @Nullable Duration retryAfter(SecuredCall call) {
			return null;
		}

		@Override
		public void failed(SecuredCall call) {
		}

	}

	/** Takes the permits of a rate limit. */
	private record Limited(PeerPermits permits) implements FailureCounter {

		@Override
		public @Nullable Duration retryAfter(SecuredCall call) {
			return this.permits.retryAfter(call);
		}

		@Override
		public void failed(SecuredCall call) {
			this.permits.take(call);
		}

	}

}
