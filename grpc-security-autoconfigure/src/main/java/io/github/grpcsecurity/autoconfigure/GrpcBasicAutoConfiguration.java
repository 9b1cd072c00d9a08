package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.InstantSource;

import io.github.grpcsecurity.authentication.basic.BasicAuthenticator;
import io.github.grpcsecurity.server.GrpcSecurityThreads;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;
import org.springframework.security.authentication.dao.DaoAuthenticationProvider;
import org.springframework.security.authentication.password.CompromisedPasswordChecker;
import org.springframework.security.core.userdetails.UserDetailsPasswordService;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.crypto.password.PasswordEncoder;

/**
 * Verifies user names with passwords, if {@code grpc.security.authentication.basic} is
 * enabled, as Spring Security does for web requests: against the
 * {@link UserDetailsService} and with the {@link PasswordEncoder} of the application.
 *
 * @since 0.1.0
 */
@AutoConfiguration(before = GrpcAuthenticationAutoConfiguration.class,
		afterName = "org.springframework.boot.security.autoconfigure.UserDetailsServiceAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties(GrpcBasicProperties.class)
public final class GrpcBasicAutoConfiguration {

	private static final String PREFIX = "grpc.security.authentication.basic";

	private static final Duration LONGEST_CACHE_TTL = Duration.ofMinutes(5);

	@Bean
	@ConditionalOnMissingBean
	@ConditionalOnBooleanProperty(PREFIX + ".enabled")
	BasicAuthenticator grpcBasicAuthenticator(GrpcBasicProperties properties, GrpcSecurityThreads threads,
			ObjectProvider<UserDetailsService> users, ObjectProvider<PasswordEncoder> encoder,
			ObjectProvider<UserDetailsPasswordService> passwords, ObjectProvider<CompromisedPasswordChecker> checker) {
		UserDetailsService service = users.getIfUnique();
		if (service == null) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".enabled", true,
					users.stream().findAny().isPresent()
							? "There is more than one UserDetailsService bean: mark the one to use as @Primary."
							: "There is no UserDetailsService bean: add one, or switch Basic off.");
		}
		Duration cacheTtl = properties.cacheTtl();
		if (cacheTtl.isNegative() || cacheTtl.compareTo(LONGEST_CACHE_TTL) > 0) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".cache-ttl", cacheTtl,
					"A password that was changed must not be good for long: set it to at most 5m, or to 0 to check"
							+ " the password of each call.");
		}
		// Not a bean: it would change what Spring Security configures for the web
		DaoAuthenticationProvider provider = new DaoAuthenticationProvider(service);
		encoder.ifUnique(provider::setPasswordEncoder);
		passwords.ifUnique(provider::setUserDetailsPasswordService);
		checker.ifUnique(provider::setCompromisedPasswordChecker);
		return new BasicAuthenticator(provider, cacheTtl, maxConcurrentChecks(properties), threads.executor(),
				InstantSource.system());
	}

	private static int maxConcurrentChecks(GrpcBasicProperties properties) {
		Integer configured = properties.maxConcurrentChecks();
		if (configured == null) {
			return Math.max(1, Runtime.getRuntime().availableProcessors() / 2);
		}
		if (configured < 1) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".max-concurrent-checks", configured,
					"Nobody could be authenticated: set it to at least 1, or leave it out for half of the processors.");
		}
		return configured;
	}

}
