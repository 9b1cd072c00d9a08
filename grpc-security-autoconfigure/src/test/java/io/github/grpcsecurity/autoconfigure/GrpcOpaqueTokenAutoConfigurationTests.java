package io.github.grpcsecurity.autoconfigure;

import java.util.concurrent.CompletableFuture;

import com.github.benmanes.caffeine.cache.Caffeine;
import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.jwt.JwtCredentialAuthenticator;
import io.github.grpcsecurity.authentication.opaque.OpaqueTokenAuthenticator;
import io.github.grpcsecurity.authentication.opaque.TokenIntrospector;
import io.micrometer.core.instrument.binder.MeterBinder;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.security.authentication.TestingAuthenticationProvider;
import org.springframework.security.oauth2.server.resource.introspection.OpaqueTokenIntrospector;

import static org.assertj.core.api.Assertions.assertThat;

class GrpcOpaqueTokenAutoConfigurationTests {

	private static final String PREFIX = "grpc.security.authentication.opaque-token.";

	private static final AuthorizationHeader SIGNED = new AuthorizationHeader("Bearer", "eyJhbGciOiJub25lIn0.e30.x");

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcSecurityAutoConfiguration.class, GrpcJwtAutoConfiguration.class,
				GrpcOpaqueTokenAutoConfiguration.class, GrpcAuthenticationAutoConfiguration.class));

	private final ApplicationContextRunner configured = this.runner.withPropertyValues(
			PREFIX + "introspection-uri=https://idp.example/introspect", PREFIX + "client-id=bank",
			PREFIX + "client-secret=s3cret");

	@Test
	void runWhenNobodyCanBeAskedThenThereIsNothing() {
		this.runner
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(OpaqueTokenAuthenticator.class));
		this.runner.withPropertyValues(PREFIX + "introspection-uri=")
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(OpaqueTokenAuthenticator.class));
	}

	@Test
	void runWhenSecurityIsOffThenThereIsNothing() {
		this.configured.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(OpaqueTokenAuthenticator.class));
	}

	@Test
	void runWhenAClassIsMissingThenThereIsNothing() {
		this.configured.withClassLoader(new FilteredClassLoader(Caffeine.class))
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(OpaqueTokenAuthenticator.class));
	}

	@Test
	void runWhenEndpointIsConfiguredThenItIsAskedAndCounted() {
		this.configured.withBean(SimpleMeterRegistry.class)
			.run((context) -> assertThat(context).hasSingleBean(OpaqueTokenAuthenticator.class)
				.hasBean("grpcOpaqueTokenMetrics")
				.getBean("grpcOpaqueTokenMetrics")
				.isInstanceOf(MeterBinder.class));
	}

	@Test
	void runWhenApplicationAsksItselfThenThatIsTaken() {
		this.runner
			.withBean(TokenIntrospector.class,
					() -> (token) -> CompletableFuture.failedFuture(new IllegalStateException()))
			.run((context) -> assertThat(context).hasSingleBean(OpaqueTokenAuthenticator.class));
		this.runner.withBean(OpaqueTokenIntrospector.class, () -> (token) -> {
			throw new IllegalStateException();
		}).run((context) -> assertThat(context).hasSingleBean(OpaqueTokenAuthenticator.class));
	}

	@Test
	void supportsWhenAProviderOfTheApplicationIsAboutPasswordsThenSignedTokensAreAskedAbout() {
		this.configured.withBean(TestingAuthenticationProvider.class).run((context) -> {
			assertThat(context.getBean(OpaqueTokenAuthenticator.class).supports(SIGNED)).isTrue();
			assertThat(context.getBean(JwtCredentialAuthenticator.class).kinds()).isEmpty();
			assertThat(context.getBean(JwtCredentialAuthenticator.class).supports(SIGNED)).isFalse();
		});
	}

	@Test
	void supportsWhenIssuersAreTrustedThenSignedTokensAreLeftToThem() {
		this.configured
			.withPropertyValues("grpc.security.authentication.jwt.issuers[0].issuer-uri=https://idp.example",
					"grpc.security.authentication.jwt.issuers[0].audiences=bank",
					"grpc.security.authentication.jwt.jwks.startup=lazy")
			.run((context) -> {
				assertThat(context.getBean(OpaqueTokenAuthenticator.class).supports(SIGNED)).isFalse();
				assertThat(context.getBean(JwtCredentialAuthenticator.class).supports(SIGNED)).isTrue();
			});
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			textBlock = """
					introspection-uri=http://idp.example/introspect | introspection-uri | use https
					introspection-uri=idp                            | introspection-uri | not an address such as https://host/path
					client-id=                                       | client-id         | a name of its own
					client-secret=                                   | client-secret     | anybody could try out tokens
					timeout=0s                                       | timeout           | more than zero
					cache-ttl=-1s                                    | cache-ttl         | must not be negative
					max-entries=0                                    | max-entries       | more than zero
					max-token-size=0B                                | max-token-size    | more than zero
					principal-claim=                                 | principal-claim   | names no claim
					authorities[0].prefix=SCOPE_                     | authorities       | names no claim
					""")
	void runWhenAValueIsBadThenFailureNamesItAndNoSecret(String property, String name, String reason) {
		this.configured.withPropertyValues(PREFIX + property)
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.hasMessageContaining(PREFIX + name)
				.hasMessageContaining(reason)
				.hasMessageNotContaining("s3cret"));
	}

}
