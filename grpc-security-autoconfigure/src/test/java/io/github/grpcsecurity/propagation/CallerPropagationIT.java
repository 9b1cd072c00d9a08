package io.github.grpcsecurity.propagation;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Context;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/**
 * A thousand callers on two threads: each callback, and each task that it hands to two
 * other threads, has its own caller.
 */
class CallerPropagationIT {

	private static final Context.Key<String> CHILD = Context.key("child");

	private final Map<String, String> mismatches = new ConcurrentHashMap<>();

	private final Set<String> places = ConcurrentHashMap.newKeySet();

	private void check(String place, String name) {
		this.places.add(place);
		if (!Callers.both().equals(Callers.both(name))) {
			this.mismatches.put(place, Callers.both() + " instead of " + name);
		}
	}

	/** Looks around here, in a child context, and on other threads. */
	private void look(String place, Executor others, Set<CompletableFuture<?>> tasks) {
		String name = SecuredCall.current().headers().get(TestStage.USER);
		check(place, name);
		Context.current().withValue(CHILD, "").run(() -> check(place + " in a child context", name));
		tasks.add(CompletableFuture.runAsync(() -> check(place + " on another thread", name), others)
			.thenRunAsync(() -> check(place + " in a later stage", name), others));
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCallersInterleaveThenEachPlaceHasItsOwnCaller(CallType type) throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(2);
		ExecutorService others = Executors.newFixedThreadPool(2);
		Executor propagating = CallerContext.propagating((Executor) others);
		Set<CompletableFuture<?>> tasks = ConcurrentHashMap.newKeySet();
		EchoService service = new EchoService();
		service.probe = (callback) -> look(callback, propagating, tasks);
		ServerInterceptor interceptor = new LookingInterceptor((place) -> look(place, propagating, tasks));
		try (TestServer server = TestServer.network(
				() -> ServerInterceptors.intercept(service.bindService(), interceptor),
				(security) -> security.stages(List.of(TestStage.authentication())),
				(builder) -> builder.executor(pool))) {
			Callers.interleave(type, server.channel(), 1000);
			RawCall cancelled = RawCall.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING,
					TestStage.user("alice"));
			cancelled.send(new byte[0]);
			await().until(() -> this.places.contains("onMessage") && this.places.contains("onReady"));
			cancelled.cancel();
			await().until(() -> this.places.contains("onCancel") && this.places.contains("onComplete"));
			tasks.forEach(CompletableFuture::join);

			assertThat(this.mismatches).isEmpty();
			assertThat(this.places).contains("interceptCall", "onReady", "onMessage", "onMessage in a child context",
					"onMessage on another thread", "onMessage in a later stage", "onHalfClose", "onCancel",
					"onCancel on another thread", "onComplete", "onComplete on another thread");
			Callers.assertNothingLeftOn(pool);
			Callers.assertNothingLeftOn(others);
		}
		finally {
			pool.shutdownNow();
			others.shutdownNow();
		}
	}

	@Test
	void currentWhenOutsideOfCallsThenAnonymous() {
		assertThat(GrpcCaller.current().anonymous()).isTrue();
		assertThat(Callers.both()).isEqualTo(Callers.NOBODY);
	}

	private record LookingInterceptor(java.util.function.Consumer<String> look) implements ServerInterceptor {

		@Override
		public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> call, Metadata headers,
				ServerCallHandler<ReqT, RespT> next) {
			this.look.accept("interceptCall");
			return new SimpleForwardingServerCallListener<>(next.startCall(call, headers)) {
				@Override
				public void onMessage(ReqT message) {
					LookingInterceptor.this.look.accept("onMessage");
					super.onMessage(message);
				}

				@Override
				public void onHalfClose() {
					LookingInterceptor.this.look.accept("onHalfClose");
					super.onHalfClose();
				}

				@Override
				public void onCancel() {
					LookingInterceptor.this.look.accept("onCancel");
					super.onCancel();
				}

				@Override
				public void onComplete() {
					LookingInterceptor.this.look.accept("onComplete");
					super.onComplete();
				}

				@Override
				public void onReady() {
					LookingInterceptor.this.look.accept("onReady");
					super.onReady();
				}
			};
		}

	}

}
