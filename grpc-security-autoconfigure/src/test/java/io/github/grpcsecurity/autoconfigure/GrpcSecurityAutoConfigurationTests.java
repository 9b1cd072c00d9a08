package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executor;

import io.github.grpcsecurity.authentication.jwt.JwtIssuer;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.StatusTranslator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.security.oauth2.server.resource.autoconfigure.OAuth2ResourceServerAutoConfiguration;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.context.annotation.Bean;
import org.springframework.core.env.StandardEnvironment;
import org.springframework.core.env.SystemEnvironmentPropertySource;

import static org.assertj.core.api.Assertions.assertThat;

class GrpcSecurityAutoConfigurationTests {

	private final ApplicationContextRunner contextRunner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcSecurityAutoConfiguration.class));

	@Test
	void runWhenOnThenThereIsASecurityWithItsThreadsAndStatuses() {
		this.contextRunner.run((context) -> assertThat(context).hasSingleBean(GrpcServerSecurity.class)
			.hasSingleBean(GrpcSecurityThreads.class)
			.hasSingleBean(StatusTranslator.class)
			.doesNotHaveBean(Executor.class));
	}

	@Test
	void runWhenOffThenThereIsNothing() {
		this.contextRunner.withPropertyValues("grpc.security.enabled=false", "grpc.security.tsl.client-auth=require")
			.run((context) -> assertThat(context).hasNotFailed()
				.doesNotHaveBean(GrpcServerSecurity.class)
				.doesNotHaveBean(GrpcSecurityThreads.class));
	}

	@Test
	void runWhenUserHasOwnBeansThenTheyAreTaken() {
		this.contextRunner.withUserConfiguration(OwnBeans.class)
			.run((context) -> assertThat(context).hasSingleBean(StatusTranslator.class)
				.getBean(StatusTranslator.class)
				.isSameAs(OwnBeans.TRANSLATOR));
	}

	@ParameterizedTest
	@ValueSource(strings = { "grpc.security.tsl.client-auth=require", "grpc.security.deadline.on-missing=reject",
			"grpc.security.posture.enforce=true", "grpc.security.authentication.failure.limit=20",
			"grpc.security.authentication.api-keys.header=x" })
	void runWhenKeyIsNotSupportedThenFailsAndNamesIt(String property) {
		String name = property.substring(0, property.indexOf('='));
		this.contextRunner.withPropertyValues(property)
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.hasMessageContaining(name.substring(0, name.lastIndexOf('.')))
				.hasMessageContaining("not supported by this version"));
	}

	@Test
	void runWhenKeyIsNotSupportedThenItsValueIsNotShown() {
		this.contextRunner.withPropertyValues("grpc.security.authentication.opaque-tokens.client-secret=s3cret")
			.run((context) -> {
				FailureAnalysis analysis = new UnsupportedSettingFailureAnalyzer().analyze(context.getStartupFailure());
				assertThat(analysis.getDescription() + analysis.getAction())
					.contains("grpc.security.authentication.opaque-tokens")
					.doesNotContain("s3cret");
				assertThat(context.getStartupFailure()).hasStackTraceContaining("opaque-tokens");
				assertThat(context).getFailure().rootCause().hasMessageNotContaining("s3cret");
			});
	}

	@ParameterizedTest
	@ValueSource(strings = { "grpc.security.tls.client-autth=require", "grpc.security.tls.crl.locations=x",
			"grpc.security.limits.max-calls=1", "grpc.security.errors.expose=NOT_FOUND",
			"grpc.security.reflection.acess=permit", "grpc.security.dev.enable=true",
			"grpc.security.authentication.jwt.issuers[0].profil=rfc9068",
			"grpc.security.authentication.jwt.issuers[0].require-binding=true" })
	void runWhenKeyOfAFeatureIsNotSupportedThenFails(String property) {
		this.contextRunner
			.withConfiguration(
					AutoConfigurations.of(GrpcTransportAutoConfiguration.class, GrpcLimitsAutoConfiguration.class,
							GrpcAuthorizationAutoConfiguration.class, GrpcDevAutoConfiguration.class,
							GrpcAuthenticationAutoConfiguration.class, GrpcJwtAutoConfiguration.class))
			.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1",
					"grpc.security.dev.enabled=" + property.contains("dev."), property)
			.run((context) -> assertThat(context).hasFailed());
	}

	@Test
	void runWhenEnvironmentOfTheProcessHasANameLikeOursThenStarts() {
		this.contextRunner
			.withInitializer((context) -> context.getEnvironment()
				.getPropertySources()
				.replace(StandardEnvironment.SYSTEM_ENVIRONMENT_PROPERTY_SOURCE_NAME,
						new SystemEnvironmentPropertySource(StandardEnvironment.SYSTEM_ENVIRONMENT_PROPERTY_SOURCE_NAME,
								Map.of("GRPC_SECURITY_SERVICE_HOST", "10.0.0.1"))))
			.run((context) -> assertThat(context).hasNotFailed());
	}

	@Test
	void devIssuerWhenNobodySaysWhoseTokensToTrustThenItIsTrusted(@TempDir Path directory) {
		withDevMode(directory).run((context) -> assertThat(context).hasSingleBean(JwtIssuer.class)
			.getBean(JwtIssuer.class)
			.extracting(JwtIssuer::issuer)
			.isEqualTo("https://dev.grpc-security.local"));
	}

	@Test
	void devIssuerWhenApplicationTrustsAnotherThenItIsNot(@TempDir Path directory) {
		withDevMode(directory)
			.withPropertyValues("spring.security.oauth2.resourceserver.jwt.jwk-set-uri=http://127.0.0.1:1/keys")
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(JwtIssuer.class));
		withDevMode(directory.resolve("second"))
			.withPropertyValues("grpc.security.authentication.jwt.issuers[0].issuer-uri=https://idp.example",
					"grpc.security.authentication.jwt.issuers[0].jwk-set-uri=https://127.0.0.1:1/keys",
					"grpc.security.authentication.jwt.issuers[0].audiences=bank")
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(JwtIssuer.class));
	}

	private ApplicationContextRunner withDevMode(Path directory) {
		return this.contextRunner
			.withConfiguration(AutoConfigurations.of(GrpcDevAutoConfiguration.class, GrpcDevJwtAutoConfiguration.class,
					GrpcJwtAutoConfiguration.class, GrpcAuthenticationAutoConfiguration.class,
					OAuth2ResourceServerAutoConfiguration.class))
			.withPropertyValues("grpc.security.dev.enabled=true", "grpc.server.address=127.0.0.1",
					"grpc.security.dev.directory=" + directory);
	}

	static class OwnBeans {

		static final StatusTranslator TRANSLATOR = new StatusTranslator(Set.of());

		@Bean
		StatusTranslator statusTranslator() {
			return TRANSLATOR;
		}

	}

}
