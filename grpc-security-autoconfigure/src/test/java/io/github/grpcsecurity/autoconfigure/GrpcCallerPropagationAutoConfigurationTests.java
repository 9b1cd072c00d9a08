package io.github.grpcsecurity.autoconfigure;

import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

import io.github.grpcsecurity.propagation.CallerTaskDecorator;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status.Code;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.kotlin.CoroutineContextServerInterceptor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.autoconfigure.task.TaskExecutionAutoConfiguration;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.task.AsyncTaskExecutor;
import org.springframework.core.task.TaskDecorator;
import org.springframework.scheduling.annotation.Async;
import org.springframework.scheduling.annotation.EnableAsync;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContextHolder;

import static org.assertj.core.api.Assertions.assertThat;

class GrpcCallerPropagationAutoConfigurationTests {

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcSecurityAutoConfiguration.class,
				GrpcCallerPropagationAutoConfiguration.class, TaskExecutionAutoConfiguration.class))
		.withBean("authentication", TestStage.class, TestStage::authentication);

	private static String seen() {
		Authentication authentication = SecurityContextHolder.getContext().getAuthentication();
		return ((authentication != null) ? authentication.getName() : "nobody") + "/" + GrpcCaller.current().name();
	}

	/** Does something in the handler of a call that Alice makes. */
	private static <T> T inCall(ApplicationContext context, Callable<T> action) throws Exception {
		return inCall(context, CallType.UNARY, action);
	}

	private static <T> T inCall(ApplicationContext context, CallType type, Callable<T> action) throws Exception {
		AtomicReference<T> result = new AtomicReference<>();
		EchoService service = new EchoService();
		service.probe = (callback) -> {
			try {
				result.compareAndSet(null, action.call());
			}
			catch (Exception ex) {
				throw new IllegalStateException(ex);
			}
		};
		InProcessServerBuilder builder = InProcessServerBuilder.forName("caller-propagation");
		context.getBean(GrpcServerSecurity.class)
			.install(builder, List.of(new SecuredService(service.bindService(), service, "echo")));
		Server server = builder.build().start();
		ManagedChannel channel = InProcessChannelBuilder.forName("caller-propagation").build();
		try {
			assertThat(type.call(channel, TestStage.user("alice"), "hello").code()).isEqualTo(Code.OK);
			return result.get();
		}
		finally {
			channel.shutdownNow();
			server.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
		}
	}

	private static String inTask(ApplicationContext context) throws Exception {
		AsyncTaskExecutor executor = context.getBean("applicationTaskExecutor", AsyncTaskExecutor.class);
		return executor.submit(GrpcCallerPropagationAutoConfigurationTests::seen).get(10, TimeUnit.SECONDS);
	}

	@Test
	void runWhenTaskIsHandedOverInACallThenItRunsAsTheCaller() {
		this.runner.run((context) -> {
			assertThat(inCall(context, () -> inTask(context))).isEqualTo("alice/alice");
			assertThat(inTask(context)).isEqualTo("nobody/anonymous");
		});
	}

	@Test
	@EnabledForJreRange(min = JRE.JAVA_21)
	void runWhenThreadsAreVirtualThenTaskRunsAsTheCaller() {
		this.runner.withPropertyValues("spring.threads.virtual.enabled=true")
			.run((context) -> assertThat(inCall(context, () -> inTask(context))).isEqualTo("alice/alice"));
	}

	@Test
	void runWhenMethodIsAsyncThenItRunsAsTheCallerAfterTheCallHasEnded() {
		this.runner.withUserConfiguration(AsyncConfiguration.class).run((context) -> {
			CompletableFuture<Void> callEnded = new CompletableFuture<>();
			CompletableFuture<String> task = inCall(context, () -> context.getBean(Later.class).look(callEnded::join));
			callEnded.complete(null);

			assertThat(task.get(10, TimeUnit.SECONDS)).isEqualTo("alice/alice, cancelled: false");
		});
	}

	@Test
	void runWhenUserHasDecoratorThenBothDecorateAndOursIsOutermost() {
		List<String> decorated = new CopyOnWriteArrayList<>();
		TaskDecorator own = (task) -> () -> {
			decorated.add(seen());
			task.run();
		};
		this.runner.withBean("own", TaskDecorator.class, () -> own).run((context) -> {
			assertThat(inCall(context, () -> inTask(context))).isEqualTo("alice/alice");
			assertThat(decorated).containsExactly("alice/alice");
			assertThat(context.getBean(TaskDecorator.class)).isSameAs(own);
		});
	}

	@Test
	void runWhenUserHasBeanOfTheNameThenBacksOff() {
		this.runner.withBean("grpcCallerTaskDecorator", TaskDecorator.class, () -> (task) -> task).run((context) -> {
			assertThat(context).doesNotHaveBean(CallerTaskDecorator.class);
			assertThat(inCall(context, () -> inTask(context))).isEqualTo("nobody/anonymous");
		});
	}

	@Test
	void runWhenSecurityIsDisabledThenDoesNothing() {
		this.runner.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).hasNotFailed()
				.doesNotHaveBean(TaskDecorator.class)
				.doesNotHaveBean("grpcCoroutineCallerCustomizer"));
	}

	@Test
	void runWhenThereIsNoGrpcKotlinThenOnlyTasksAreDecorated() {
		this.runner.withClassLoader(new FilteredClassLoader("kotlin", "kotlinx", "io.grpc.kotlin"))
			.run((context) -> assertThat(context).hasNotFailed()
				.hasSingleBean(CallerTaskDecorator.class)
				.doesNotHaveBean("grpcCoroutineCallerCustomizer"));
	}

	@Test
	void runWhenThereIsNeitherReactorNorMicrometerThenStarts() {
		this.runner.withClassLoader(new FilteredClassLoader("reactor", "io.micrometer"))
			.run((context) -> assertThat(inCall(context, () -> inTask(context))).isEqualTo("alice/alice"));
	}

	@Test
	void runWhenThereIsGrpcKotlinThenCoroutinesAreGivenTheCaller() {
		this.runner.run((context) -> assertThat(coroutineContext(context)).contains("CoroutineCaller"));
	}

	@Test
	void runWhenUserReplacesCoroutineCustomizerThenBacksOff() {
		this.runner.withBean("grpcCoroutineCallerCustomizer", GrpcServerSecurityCustomizer.class, () -> (builder) -> {
		}).run((context) -> assertThat(coroutineContext(context)).isEqualTo("EmptyCoroutineContext"));
	}

	/** What grpc-kotlin starts a coroutine with, which it does when the call starts. */
	private static String coroutineContext(ApplicationContext context) throws Exception {
		return inCall(context, CallType.CLIENT_STREAM, () -> {
			Object key = CoroutineContextServerInterceptor.class.getMethod("access$getCOROUTINE_CONTEXT_KEY$cp")
				.invoke(null);
			return String.valueOf(((Context.Key<?>) key).get());
		});
	}

	@Configuration(proxyBeanMethods = false)
	@EnableAsync
	static class AsyncConfiguration {

		@Bean
		Later later() {
			return new Later();
		}

	}

	static class Later {

		@Async
		CompletableFuture<String> look(Runnable before) {
			before.run();
			return CompletableFuture.completedFuture(seen() + ", cancelled: " + Context.current().isCancelled());
		}

	}

}
