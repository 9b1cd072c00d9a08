package io.github.grpcsecurity.server;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.BindableService;
import io.grpc.Context;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status.Code;
import io.grpc.util.MutableHandlerRegistry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.security.authentication.TestingAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContext;
import org.springframework.security.core.context.SecurityContextHolder;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/**
 * Every callback of a call has the identity of its own caller, and leaves none behind.
 */
class IdentityIT {

	private static final Context.Key<SecurityContext> HOST_KEY = Context.key("host");

	private static String holder() {
		Authentication authentication = SecurityContextHolder.getContext().getAuthentication();
		return (authentication != null) ? authentication.getName() : "nobody";
	}

	private static String context() {
		SecuredCall call = SecuredCall.current();
		SecurityContext host = HOST_KEY.get();
		if (call == null || host == null) {
			return "nobody";
		}
		assertThat(host.getAuthentication()).isSameAs(call.authentication());
		return call.authentication().getName();
	}

	@ParameterizedTest
	@EnumSource
	void callbacksWhenCallersInterleaveThenEachSeesItsOwnCaller(CallType type) throws Exception {
		Map<String, String> mismatches = new ConcurrentHashMap<>();
		EchoService service = new EchoService();
		service.probe = (callback) -> {
			String expected = SecuredCall.current().headers().get(TestStage.USER);
			if (!holder().equals(expected) || !context().equals(expected)) {
				mismatches.put(callback, holder() + "/" + context() + " instead of " + expected);
			}
		};
		ExecutorService pool = Executors.newFixedThreadPool(2);
		ExecutorService clients = Executors.newFixedThreadPool(8);
		try (TestServer server = TestServer.network(service,
				(security) -> security.stages(List.of(TestStage.authentication())).contextKey(HOST_KEY),
				(builder) -> builder.executor(pool))) {
			List<Future<CallType.Outcome>> calls = IntStream.range(0, 250)
				.mapToObj((i) -> clients
					.submit(() -> type.call(server.channel(), TestStage.user("caller-" + i), "a", "b")))
				.toList();
			for (Future<CallType.Outcome> call : calls) {
				assertThat(call.get(30, TimeUnit.SECONDS).code()).isEqualTo(Code.OK);
			}

			assertThat(mismatches).isEmpty();
			assertLeftBehind(pool);
		}
		finally {
			clients.shutdownNow();
			pool.shutdownNow();
		}
	}

	private static void assertLeftBehind(ExecutorService pool) throws Exception {
		CountDownLatch both = new CountDownLatch(2);
		List<Future<String>> probes = IntStream.range(0, 2).mapToObj((i) -> pool.submit(() -> {
			both.countDown();
			both.await(10, TimeUnit.SECONDS);
			return holder() + "/" + context();
		})).toList();
		for (Future<String> probe : probes) {
			assertThat(probe.get(10, TimeUnit.SECONDS)).isEqualTo("nobody/nobody");
		}
	}

	@Test
	void callbacksWhenCallIsCancelledThenOnReadyAndOnCancelHaveTheIdentity() {
		Map<String, String> seen = new ConcurrentHashMap<>();
		EchoService service = new EchoService();
		ServerInterceptor recorder = new RecordingInterceptor(seen);
		try (TestServer server = TestServer.network(() -> ServerInterceptors.intercept(service.bindService(), recorder),
				(security) -> security.stages(List.of(TestStage.authentication())).contextKey(HOST_KEY))) {
			RawCall call = RawCall.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING,
					TestStage.user("alice"));
			call.send(new byte[0]);
			await().until(() -> seen.containsKey("onMessage") && seen.containsKey("onReady"));
			call.cancel();
			await().until(() -> seen.containsKey("onCancel"));
			CallType.UNARY.call(server.channel(), TestStage.user("alice"), "a");
			await().until(() -> seen.containsKey("onComplete"));

			assertThat(seen).containsOnlyKeys("interceptCall", "onReady", "onMessage", "onHalfClose", "onCancel",
					"onComplete");
			assertThat(seen.values()).containsOnly("alice/alice");
		}
	}

	@ParameterizedTest
	@EnumSource
	void handlerInterceptorsWhenCallIsAdmittedThenTheyRunAsItsCallerInOrder(CallType type) {
		ConcurrentLinkedQueue<String> seen = new ConcurrentLinkedQueue<>();
		EchoService service = new EchoService();
		MutableHandlerRegistry registry = new MutableHandlerRegistry();
		registry.addService(service);
		BindableService none = () -> ServerServiceDefinition.builder("testing.None").build();
		TestStage onlyAlice = TestStage.check(SecurityStage.AUTHORIZATION,
				(call) -> "alice".equals(call.authentication().getName()) ? Verdict.proceed()
						: Verdict.refuse(Refusal.accessDenied("test")));
		for (boolean fallback : new boolean[] { false, true }) {
			try (TestServer server = TestServer.inProcess(fallback ? none : service,
					(security) -> security.stages(List.of(TestStage.authentication(), onlyAlice))
						.fallbackRegistry(fallback ? registry : null)
						.contextKey(HOST_KEY)
						.handlerInterceptors(List.of(noting("outer", seen), noting("inner", seen))))) {
				assertThat(type.call(server.channel(), TestStage.user("bob"), "a").code())
					.isEqualTo(Code.PERMISSION_DENIED);
				assertThat(seen).isEmpty();
				assertThat(type.call(server.channel(), TestStage.user("alice"), "a").code()).isEqualTo(Code.OK);
				assertThat(seen).containsExactly("outer alice/alice", "inner alice/alice");
				seen.clear();
			}
		}
	}

	private static ServerInterceptor noting(String name, ConcurrentLinkedQueue<String> seen) {
		return new ServerInterceptor() {
			@Override
			public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> call, Metadata headers,
					ServerCallHandler<ReqT, RespT> next) {
				seen.add(name + " " + holder() + "/" + context());
				return next.startCall(call, headers);
			}
		};
	}

	@Test
	void runWhenThreadHasAnIdentityThenItIsPutBack() {
		ConcurrentLinkedQueue<String> inside = new ConcurrentLinkedQueue<>();
		Authentication alice = new TestingAuthenticationToken("alice", "");
		Authentication bob = new TestingAuthenticationToken("bob", "");
		SecurityContextHolder.getContext().setAuthentication(alice);
		try {
			Identity.of(bob, Context.ROOT, List.of(HOST_KEY)).run(() -> inside.add(holder()));

			assertThat(inside).containsExactly("bob");
			assertThat(holder()).isEqualTo("alice");
		}
		finally {
			SecurityContextHolder.clearContext();
		}
	}

	/** Notes who is seen in each callback of a listener. */
	private record RecordingInterceptor(Map<String, String> seen) implements ServerInterceptor {

		@Override
		public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> call, Metadata headers,
				ServerCallHandler<ReqT, RespT> next) {
			note("interceptCall");
			return new SimpleForwardingServerCallListener<>(next.startCall(call, headers)) {
				@Override
				public void onMessage(ReqT message) {
					note("onMessage");
					super.onMessage(message);
				}

				@Override
				public void onHalfClose() {
					note("onHalfClose");
					super.onHalfClose();
				}

				@Override
				public void onCancel() {
					note("onCancel");
					super.onCancel();
				}

				@Override
				public void onComplete() {
					note("onComplete");
					super.onComplete();
				}

				@Override
				public void onReady() {
					note("onReady");
					super.onReady();
				}
			};
		}

		private void note(String callback) {
			this.seen.put(callback, holder() + "/" + context());
		}

	}

}
