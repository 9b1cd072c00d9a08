package io.github.grpcsecurity.autoconfigure.devh;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;

import io.github.grpcsecurity.audit.AuditSink;
import io.github.grpcsecurity.audit.GrpcAuditRecord;
import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.testing.AltsHandshaker;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.tls.AltsTransport;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status.Code;
import io.grpc.inprocess.InProcessChannelBuilder;
import net.devh.boot.grpc.server.config.GrpcServerProperties;
import net.devh.boot.grpc.server.event.GrpcServerStartedEvent;
import net.devh.boot.grpc.server.serverfactory.GrpcServerConfigurer;
import net.devh.boot.grpc.server.serverfactory.GrpcServerFactory;
import net.devh.boot.grpc.server.serverfactory.ShadedNettyGrpcServerFactory;
import net.devh.boot.grpc.server.service.GrpcService;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.event.EventListener;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatException;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

/** Real applications that speak ALTS on {@code net.devh}'s server. */
@ExtendWith(OutputCaptureExtension.class)
class DevhAltsIT {

	@ParameterizedTest
	@ValueSource(strings = { "127.0.0.1", "*" })
	void startWhenTransportIsAltsThenServiceAccountsAreAudited(String address) {
		try (ConfigurableApplicationContext context = start(AltsConfiguration.class, "grpc.server.address=" + address,
				"grpc.security.authorization.rules[0].methods=**",
				"grpc.security.authorization.rules[0].access=permit")) {
			AltsHandshaker handshaker = context.getBean(AltsHandshaker.class);
			for (CallType type : CallType.values()) {
				assertThat(call(context, handshaker.channelCredentials(), type)).isEqualTo(Code.OK);
				assertThat(call(context, InsecureChannelCredentials.create(), type)).isEqualTo(Code.UNAVAILABLE);
			}

			Queue<GrpcAuditRecord> records = context.getBean(Application.class).records;
			await().until(() -> records.size() >= CallType.values().length);
			assertThat(records).isNotEmpty()
				.allSatisfy((record) -> assertThat(record.fields().toString())
					.contains("peer.identity=alts:teller@bank", "transport.security=privacy_and_integrity"));
		}
	}

	@Test
	void startWhenTransportIsAltsThenStillRefusesByDefault() {
		try (ConfigurableApplicationContext context = start(AltsConfiguration.class, "grpc.server.address=127.0.0.1")) {
			assertThat(call(context, context.getBean(AltsHandshaker.class).channelCredentials(), CallType.UNARY))
				.isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void startWhenRuleNamesServiceAccountThenOnlyItsCallsAreServed() {
		String rule = "grpc.security.authorization.rules[0].";
		try (ConfigurableApplicationContext context = start(AltsConfiguration.class, "grpc.server.address=127.0.0.1",
				rule + "methods=**", rule + "access=authentication.name == 'alts:teller@bank'")) {
			for (CallType type : CallType.values()) {
				assertThat(call(context, context.getBean(AltsHandshaker.class).channelCredentials(), type))
					.isEqualTo(Code.OK);
			}
			Queue<GrpcAuditRecord> records = context.getBean(Application.class).records;
			await().until(() -> records.size() >= CallType.values().length);
			assertThat(records).allSatisfy(
					(record) -> assertThat(record.fields().toString()).contains("auth.kind=alts", "alts:teller@bank"));
		}
		try (ConfigurableApplicationContext context = start(AltsConfiguration.class, "grpc.server.address=127.0.0.1",
				rule + "methods=**", rule + "access=authentication.name == 'alts:manager@bank'")) {
			for (CallType type : CallType.values()) {
				assertThat(call(context, context.getBean(AltsHandshaker.class).channelCredentials(), type))
					.isEqualTo(Code.PERMISSION_DENIED);
			}
		}
	}

	@Test
	void startWhenCallHasAnotherCredentialThenThatIsWhoCalls() {
		try (ConfigurableApplicationContext context = start(OtherCredentialConfiguration.class,
				"grpc.server.address=127.0.0.1", "grpc.security.authorization.rules[0].methods=**",
				"grpc.security.authorization.rules[0].access=authentication.name == 'alice'")) {
			assertThat(call(context, context.getBean(AltsHandshaker.class).channelCredentials(), CallType.UNARY))
				.isEqualTo(Code.OK);
		}
	}

	@Test
	void startWhenThereIsAnInProcessServerTooThenBothServe() {
		try (ConfigurableApplicationContext context = start(AltsConfiguration.class, "grpc.server.address=127.0.0.1",
				"grpc.server.in-process-name=alts-it", "grpc.security.authorization.rules[0].methods=**",
				"grpc.security.authorization.rules[0].access=permit")) {
			assertThat(call(context, context.getBean(AltsHandshaker.class).channelCredentials(), CallType.UNARY))
				.isEqualTo(Code.OK);
			ManagedChannel channel = InProcessChannelBuilder.forName("alts-it").build();
			assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.OK);
			channel.shutdownNow();
		}
	}

	@Test
	void startWhenUserHasOwnFactoryThenPlaintextIsNeverServed(CapturedOutput output) {
		assertThatException().isThrownBy(() -> start(OwnFactoryConfiguration.class, "grpc.server.address=127.0.0.1"));

		assertThat(output).contains("APPLICATION FAILED TO START", "that does not speak it.",
				"without a GrpcServerFactory bean of your own");
	}

	@Test
	void startWhenThisIsNotGoogleCloudThenAnalysisSaysSo(CapturedOutput output) {
		assumeElsewhere();
		assertThatException().isThrownBy(() -> start(Empty.class, "grpc.server.address=127.0.0.1"));

		assertThat(output).contains("APPLICATION FAILED TO START", "ALTS works nowhere else.",
				"Run the server on Google Cloud.");
	}

	private static void assumeElsewhere() {
		try {
			assumeThat(Files.readString(Path.of("/sys/class/dmi/id/product_name"))).doesNotContain("Google");
		}
		catch (IOException ex) {
			// No firmware that could say so
		}
	}

	private static ConfigurableApplicationContext start(Class<?> configuration, String... properties) {
		List<String> arguments = new ArrayList<>(
				List.of("--grpc.server.port=0", "--grpc.security.transport=alts", "--spring.main.banner-mode=off"));
		for (String property : properties) {
			arguments.add("--" + property);
		}
		return new SpringApplicationBuilder(Application.class, configuration).web(WebApplicationType.NONE)
			.run(arguments.toArray(String[]::new));
	}

	private static Code call(ConfigurableApplicationContext context, ChannelCredentials credentials, CallType type) {
		ManagedChannel channel = Grpc
			.newChannelBuilderForAddress("127.0.0.1", context.getBean(Application.class).port, credentials)
			.build();
		try {
			return type.call(channel).code();
		}
		finally {
			channel.shutdownNow();
		}
	}

	@SpringBootConfiguration(proxyBeanMethods = false)
	@EnableAutoConfiguration
	static class Application {

		private final Queue<GrpcAuditRecord> records = new ConcurrentLinkedQueue<>();

		private int port;

		@Bean
		@GrpcService
		EchoService echoService() {
			return new EchoService();
		}

		@Bean
		AuditSink recordingSink() {
			return this.records::add;
		}

		@EventListener
		void started(GrpcServerStartedEvent event) {
			if (event.getServer().getPort() > 0) {
				this.port = event.getServer().getPort();
			}
		}

	}

	static class Empty {

	}

	static class AltsConfiguration {

		@Bean
		AltsHandshaker handshaker() {
			return new AltsHandshaker("teller@bank", "ledger@bank");
		}

		@Bean
		AltsTransport altsTransport(AltsHandshaker handshaker) {
			return new AltsTransport(handshaker.serverCredentials());
		}

	}

	static class OtherCredentialConfiguration extends AltsConfiguration {

		@Bean
		CredentialAuthenticator otherAuthenticator() {
			return new CredentialAuthenticator() {
				@Override
				public Set<String> kinds() {
					return Set.of("test");
				}

				@Override
				public CredentialResult authenticate(SecuredCall call, AuthorizationHeader authorization) {
					return CredentialResult.authenticated(VerifiedCredential.of("test",
							UsernamePasswordAuthenticationToken.authenticated("alice", null, List.of())));
				}
			};
		}

	}

	static class OwnFactoryConfiguration extends AltsConfiguration {

		@Bean
		GrpcServerFactory ownFactory(GrpcServerProperties properties, List<GrpcServerConfigurer> configurers) {
			return new ShadedNettyGrpcServerFactory(properties, configurers);
		}

	}

}
