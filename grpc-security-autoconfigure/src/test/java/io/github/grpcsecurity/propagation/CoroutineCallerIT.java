package io.github.grpcsecurity.propagation;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.ServerServiceDefinition;
import io.grpc.kotlin.AbstractCoroutineServerImpl;
import io.grpc.kotlin.ServerCalls;
import kotlin.ResultKt;
import kotlin.Unit;
import kotlin.coroutines.Continuation;
import kotlin.coroutines.CoroutineContext;
import kotlin.coroutines.intrinsics.IntrinsicsKt;
import kotlin.coroutines.jvm.internal.ContinuationImpl;
import kotlinx.coroutines.BuildersKt;
import kotlinx.coroutines.DelayKt;
import kotlinx.coroutines.Dispatchers;
import kotlinx.coroutines.ExecutorsKt;
import kotlinx.coroutines.flow.Flow;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.security.core.context.SecurityContextHolder;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Coroutines of grpc-kotlin work as their caller on whichever thread they resume.
 * <p>
 * The handlers are what the Kotlin compiler makes of suspend functions, written by hand.
 */
class CoroutineCallerIT {

	private final Map<String, String> mismatches = new ConcurrentHashMap<>();

	private final Set<String> places = ConcurrentHashMap.newKeySet();

	private final ExecutorService grpcPool = Executors.newFixedThreadPool(2);

	private final ExecutorService coroutinePool = Executors.newFixedThreadPool(2);

	@AfterEach
	void stop() {
		this.grpcPool.shutdownNow();
		this.coroutinePool.shutdownNow();
		SecurityContextHolder.clearContext();
	}

	private void check(String place, String name) {
		this.places.add(place);
		if (!Callers.both().equals(Callers.both(name))) {
			this.mismatches.put(place, Callers.both() + " instead of " + name);
		}
	}

	private TestServer serve(List<CoroutineCallerInterceptor> interceptors) {
		return TestServer.network(new CoroutineEcho(ExecutorsKt.from(this.coroutinePool)),
				(security) -> security.stages(List.of(TestStage.authentication())).handlerInterceptors(interceptors),
				(builder) -> builder.executor(this.grpcPool));
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCallersInterleaveThenEachCoroutineHasItsOwn(CallType type) throws Exception {
		try (TestServer server = serve(List.of(new CoroutineCallerInterceptor()))) {
			Callers.interleave(type, server.channel(), 1000);

			assertThat(this.mismatches).isEmpty();
			assertThat(this.places).containsExactlyInAnyOrder("start", "after delay", "other dispatcher", "back again");
			Callers.assertNothingLeftOn(this.grpcPool);
			Callers.assertNothingLeftOn(this.coroutinePool);
		}
	}

	@Test
	void callWhenNothingIsDoneForCoroutinesThenSpringSeesNobody() {
		try (TestServer server = serve(List.of())) {
			CallType.UNARY.call(server.channel(), TestStage.user("alice"), "alice");

			assertThat(this.mismatches.values()).isNotEmpty().containsOnly("nobody/alice instead of alice");
		}
	}

	@Test
	void updateThreadContextWhenNestedThenRestoresWhatWasThere() {
		SecurityContextHolder.setContext(Callers.identity("alice"));
		CoroutineCaller alice = CoroutineCaller.current();
		SecurityContextHolder.setContext(Callers.identity("bob"));
		var before = alice.updateThreadContext(alice);
		assertThat(Callers.holder()).isEqualTo("alice");
		alice.restoreThreadContext(alice, before);
		assertThat(Callers.holder()).isEqualTo("bob");

		SecurityContextHolder.clearContext();
		before = alice.updateThreadContext(alice);
		assertThat(Callers.holder()).isEqualTo("alice");
		alice.restoreThreadContext(alice, before);
		assertThat(Callers.holder()).isEqualTo("nobody");
	}

	/** One part of a suspend function, up to where it may be suspended. */
	private interface Part {

		Object run(Continuation<Object> self);

	}

	/** A suspend function: its parts in turn; the last one's result is its own. */
	private static Object suspending(Continuation<?> completion, Part... parts) {
		return new Suspending(completion, parts).invokeSuspend(Unit.INSTANCE);
	}

	private static final class Suspending extends ContinuationImpl {

		private static final long serialVersionUID = 1L;

		private final transient Part[] parts;

		private int next;

		@SuppressWarnings("unchecked")
		Suspending(Continuation<?> completion, Part... parts) {
			super((Continuation<Object>) completion);
			this.parts = parts;
		}

		@Override
		protected Object invokeSuspend(Object result) {
			ResultKt.throwOnFailure(result);
			Object value = result;
			while (this.next < this.parts.length) {
				value = this.parts[this.next++].run(this);
				if (value == IntrinsicsKt.getCOROUTINE_SUSPENDED()) {
					return value;
				}
			}
			return value;
		}

	}

	private final class CoroutineEcho extends AbstractCoroutineServerImpl {

		CoroutineEcho(CoroutineContext context) {
			super(context);
		}

		/** Goes through several threads and says in the end what it was asked. */
		private Object walk(EchoRequest request, Continuation<?> completion, Part last) {
			String name = request.getText();
			return suspending(completion, (self) -> {
				check("start", name);
				return DelayKt.delay(1, self(self));
			}, (self) -> {
				check("after delay", name);
				return BuildersKt.<Unit>withContext((CoroutineContext) Dispatchers.getIO(), (scope, inner) -> {
					check("other dispatcher", name);
					return Unit.INSTANCE;
				}, self(self));
			}, (self) -> {
				check("back again", name);
				return last.run(self);
			});
		}

		@SuppressWarnings({ "unchecked", "rawtypes" })
		private static <T> Continuation<T> self(Continuation<?> continuation) {
			return (Continuation) continuation;
		}

		private static EchoReply reply(EchoRequest request) {
			return EchoReply.newBuilder().setText(request.getText()).build();
		}

		@Override
		public ServerServiceDefinition bindService() {
			return ServerServiceDefinition.builder(EchoGrpc.getServiceDescriptor())
				.addMethod(ServerCalls.INSTANCE.<EchoRequest, EchoReply>unaryServerMethodDefinition(getContext(),
						EchoGrpc.getUnaryMethod(),
						(request, completion) -> walk(request, completion, (self) -> reply(request))))
				.addMethod(ServerCalls.INSTANCE.<EchoRequest, EchoReply>serverStreamingServerMethodDefinition(
						getContext(), EchoGrpc.getServerStreamMethod(), this::replies))
				.addMethod(ServerCalls.INSTANCE
					.clientStreamingServerMethodDefinition(getContext(), EchoGrpc.getClientStreamMethod(),
							(requests, completion) -> suspending(completion, (self) -> requests
								.collect((request, each) -> walk(request, each, (inner) -> Unit.INSTANCE), self(self)),
									(self) -> EchoReply.getDefaultInstance())))
				.addMethod(ServerCalls.INSTANCE.<EchoRequest, EchoReply>bidiStreamingServerMethodDefinition(
						getContext(), EchoGrpc.getBidiMethod(), this::conversation))
				.build();
		}

		private Flow<EchoReply> replies(EchoRequest request) {
			return (collector, completion) -> suspending(completion,
					(self) -> walk(request, self, (inner) -> collector.emit(reply(request), self(inner))),
					(self) -> walk(request, self, (inner) -> collector.emit(reply(request), self(inner))));
		}

		private Flow<EchoReply> conversation(Flow<? extends EchoRequest> requests) {
			return (collector, completion) -> requests.collect(
					(request, each) -> walk(request, each, (inner) -> collector.emit(reply(request), self(inner))),
					completion);
		}

	}

}
