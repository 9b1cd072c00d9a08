package io.github.grpcsecurity.autoconfigure.devh;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.BiConsumer;
import java.util.function.Consumer;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import net.devh.boot.grpc.server.advice.GrpcAdvice;
import net.devh.boot.grpc.server.advice.GrpcExceptionHandler;
import net.devh.boot.grpc.server.event.GrpcServerStartedEvent;
import net.devh.boot.grpc.server.interceptor.GrpcGlobalServerInterceptor;
import net.devh.boot.grpc.server.security.interceptors.AuthenticatingServerInterceptor;
import net.devh.boot.grpc.server.serverfactory.GrpcServerConfigurer;
import net.devh.boot.grpc.server.serverfactory.NettyGrpcServerFactory;
import net.devh.boot.grpc.server.serverfactory.ShadedNettyGrpcServerFactory;
import net.devh.boot.grpc.server.service.GrpcService;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.event.EventListener;
import org.springframework.core.annotation.Order;
import org.springframework.core.io.DefaultResourceLoader;
import org.springframework.security.authentication.AuthenticationManager;
import org.springframework.security.core.context.SecurityContext;
import org.springframework.security.core.context.SecurityContextHolder;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Real applications on {@code net.devh}'s server. */
class DevhGrpcServerIT {

	private static void run(Class<?> configuration, List<String> properties,
			BiConsumer<ConfigurableApplicationContext, ManagedChannel> test) {
		run(configuration, properties, DevhGrpcServerIT.class.getClassLoader(), test);
	}

	private static void run(Class<?> configuration, List<String> properties, ClassLoader classLoader,
			BiConsumer<ConfigurableApplicationContext, ManagedChannel> test) {
		List<String> all = new ArrayList<>(
				List.of("grpc.server.port=0", "grpc.server.address=127.0.0.1", "grpc.security.transport=plaintext",
						"grpc.security.authorization.default-access=authenticated", "spring.main.banner-mode=off"));
		all.addAll(properties);
		SpringApplicationBuilder builder = new SpringApplicationBuilder(BaseConfiguration.class, configuration)
			.web(WebApplicationType.NONE)
			.properties(all.toArray(String[]::new));
		builder.application().setResourceLoader(new DefaultResourceLoader(classLoader));
		try (ConfigurableApplicationContext context = builder.run()) {
			int port = context.getBean(Port.class).number;
			ManagedChannel channel = ManagedChannelBuilder.forAddress("127.0.0.1", port).usePlaintext().build();
			try {
				test.accept(context, channel);
			}
			finally {
				channel.shutdownNow();
			}
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenApplicationHasAnAuthenticationManagerThenItStartsAndServes(CallType type) {
		run(AuthenticationManagerConfiguration.class, List.of(), (context, channel) -> {
			assertThat(type.call(channel, TestStage.user("alice"), "hi").code()).isEqualTo(Code.OK);
			assertThat(type.call(channel).code()).isEqualTo(Code.UNAUTHENTICATED);
		});
	}

	@Test
	void serverWhenBothNettyFlavoursAreThereThenTheShadedOneIsSecured() {
		run(Empty.class, List.of(), (context, channel) -> {
			assertThat(context.getBeansOfType(ShadedNettyGrpcServerFactory.class)).hasSize(1);
			assertSecured(channel);
		});
	}

	@Test
	void serverWhenShadedNettyIsMissingThenThePlainOneIsSecured() {
		run(Empty.class, List.of(), new FilteredClassLoader("io.grpc.netty.shaded"), (context, channel) -> {
			assertThat(context.getBeansOfType(NettyGrpcServerFactory.class)).hasSize(1);
			assertSecured(channel);
		});
	}

	private static void assertSecured(ManagedChannel channel) {
		assertThat(CallType.BIDI.call(channel).code()).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(CallType.BIDI.call(channel, TestStage.user("alice"), "hi").code()).isEqualTo(Code.OK);
		assertThat(RawCall.call(channel, "no.such/Method", MethodType.UNARY, new byte[0]).status().getCode())
			.isEqualTo(Code.UNAUTHENTICATED);
		assertThat(RawCall.start(channel, "testing.Echo/Unary", MethodType.UNARY, TestStage.user("alice"))
			.send(new byte[] { (byte) 0xff })
			.halfClose()
			.await()
			.status()
			.getCode()).isEqualTo(Code.INVALID_ARGUMENT);
	}

	@Test
	void serverWhenInProcessThenItIsSecuredToo() {
		run(Empty.class, List.of("grpc.server.in-process-name=devh-it"), (context, channel) -> {
			ManagedChannel inProcess = InProcessChannelBuilder.forName("devh-it").build();
			try {
				assertSecured(inProcess);
			}
			finally {
				inProcess.shutdownNow();
			}
		});
	}

	@Test
	void serverWhenSecurityIsDisabledThenNothingIsSecured() {
		run(Empty.class, List.of("grpc.security.enabled=false"), (context, channel) -> {
			assertThat(context.getBeansOfType(GrpcServerSecurity.class)).isEmpty();
			assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.OK);
		});
	}

	@Test
	void interceptorsWhenUserHasSomeThenTheyRunBehindThePipeline() {
		run(InterceptorConfiguration.class, List.of(), (context, channel) -> {
			List<String> seen = context.getBean(InterceptorConfiguration.class).seen;
			CallType.UNARY.call(channel);
			assertThat(seen).isEmpty();

			CallType.UNARY.call(channel, TestStage.user("alice"), "hi");

			assertThat(seen).containsExactly("builder alice", "global alice");
		});
	}

	@Test
	void adviceWhenUserHasOneThenItStillMapsExceptions() {
		run(AdviceConfiguration.class, List.of(), (context, channel) -> {
			CallType.Outcome outcome = CallType.UNARY.call(channel, TestStage.user("alice"), "hi");

			assertThat(outcome.code()).isEqualTo(Code.FAILED_PRECONDITION);
			assertThat(outcome.status().getDescription()).isEqualTo("mapped");
		});
	}

	@ParameterizedTest
	@EnumSource
	void metricsWhenCallsAreRefusedThenServersOwnMetricsCountThemWithTheRightStatus(CallType type) {
		run(MetricsConfiguration.class, List.of(), (context, channel) -> {
			MeterRegistry registry = context.getBean(MeterRegistry.class);
			type.call(channel);
			type.call(channel, TestStage.user("alice"), "hi");

			await().untilAsserted(() -> {
				assertThat(processed(registry, type, "UNAUTHENTICATED")).isEqualTo(1);
				assertThat(processed(registry, type, "OK")).isEqualTo(1);
			});
		});
	}

	private static long processed(MeterRegistry registry, CallType type, String status) {
		Timer timer = registry.find("grpc.server.processing.duration")
			.tag("method", type.method().substring(type.method().indexOf('/') + 1))
			.tag("statusCode", status)
			.timer();
		return (timer != null) ? timer.count() : 0;
	}

	@Test
	void identityWhenHandlerReadsTheServersOwnKeyThenItIsThere() {
		run(Empty.class, List.of(), (context, channel) -> {
			List<String> seen = new CopyOnWriteArrayList<>();
			context.getBean(EchoService.class).probe = (callback) -> {
				SecurityContext host = AuthenticatingServerInterceptor.SECURITY_CONTEXT_KEY.get();
				seen.add(host.getAuthentication().getName());
				seen.add(SecurityContextHolder.getContext().getAuthentication().getName());
			};
			CallType.BIDI.call(channel, TestStage.user("alice"), "hi");

			assertThat(seen).isNotEmpty().containsOnly("alice");
		});
	}

	@Test
	void stagesWhenEverythingIsOnThenTheyRunInTheOrderOfTheEnum() {
		run(Empty.class, List.of(), (context, channel) -> {
			List<SecurityStage> order = context.getBean(GrpcServerSecurity.class)
				.stages()
				.stream()
				.map(CallStage::stage)
				.toList();

			assertThat(order).isSorted().contains(SecurityStage.AUTHENTICATION, SecurityStage.AUTHORIZATION);
			for (MethodPlan plan : context.getBean(GrpcServerSecurity.class).plans()) {
				assertThat(plan.describe()).extracting(MethodPlan.StepDescription::stage).isSorted();
			}
		});
	}

	@SpringBootConfiguration
	@EnableAutoConfiguration
	static class BaseConfiguration {

		@Bean
		Port port() {
			return new Port();
		}

		@Bean
		CallStage authentication() {
			return TestStage.authentication();
		}

		/** Keeps anonymous callers out, whatever authorization is configured. */
		@Bean
		CallStage authorization() {
			return TestStage.check(SecurityStage.AUTHORIZATION, (call) -> call.anonymous()
					? Verdict.refuse(Refusal.unauthenticated("no credentials")) : Verdict.proceed());
		}

		@Bean
		@GrpcService
		EchoService echoService() {
			return new EchoService();
		}

	}

	static class Port {

		private int number;

		@EventListener
		void started(GrpcServerStartedEvent event) {
			if (event.getServer().getPort() > 0) {
				this.number = event.getServer().getPort();
			}
		}

	}

	static class Empty {

	}

	static class AuthenticationManagerConfiguration {

		@Bean
		AuthenticationManager authenticationManager() {
			return (authentication) -> authentication;
		}

	}

	static class InterceptorConfiguration {

		final List<String> seen = new CopyOnWriteArrayList<>();

		@Bean
		@GrpcGlobalServerInterceptor
		@Order(Integer.MIN_VALUE)
		ServerInterceptor globalInterceptor() {
			return noting("global");
		}

		@Bean
		GrpcServerConfigurer userConfigurer() {
			return (builder) -> builder.intercept(noting("builder"));
		}

		private ServerInterceptor noting(String name) {
			Consumer<String> note = this.seen::add;
			return new ServerInterceptor() {
				@Override
				public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> call,
						Metadata headers, ServerCallHandler<ReqT, RespT> next) {
					note.accept(name + " " + SecuredCall.current().authentication().getName());
					return next.startCall(call, headers);
				}
			};
		}

	}

	static class AdviceConfiguration {

		AdviceConfiguration(EchoService service) {
			service.probe = (callback) -> {
				throw new IllegalStateException("not now");
			};
		}

		@Bean
		MappingAdvice mappingAdvice() {
			return new MappingAdvice();
		}

	}

	@GrpcAdvice
	public static class MappingAdvice {

		@GrpcExceptionHandler
		public Status handle(IllegalStateException ex) {
			return Status.FAILED_PRECONDITION.withDescription("mapped");
		}

	}

	static class MetricsConfiguration {

		@Bean
		MeterRegistry meterRegistry() {
			return new SimpleMeterRegistry();
		}

	}

}
