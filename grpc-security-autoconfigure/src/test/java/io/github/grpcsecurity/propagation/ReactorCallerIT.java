package io.github.grpcsecurity.propagation;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Function;

import com.salesforce.reactorgrpc.stub.ServerCalls;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.CallOptions;
import io.grpc.Context;
import io.grpc.stub.StreamObserver;
import io.micrometer.context.ContextRegistry;
import io.micrometer.context.ContextSnapshot;
import io.micrometer.context.ContextSnapshotFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Hooks;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

import org.springframework.security.core.context.ReactiveSecurityContextHolder;
import org.springframework.security.core.context.SecurityContext;

import static org.assertj.core.api.Assertions.assertThat;

/** What operators of Reactor see of the caller, with the stubs of reactor-grpc. */
class ReactorCallerIT {

	private final Map<String, String> seen = new ConcurrentHashMap<>();

	private final Set<String> places = ConcurrentHashMap.newKeySet();

	private final ExecutorService grpcPool = Executors.newFixedThreadPool(2);

	private final ExecutorService pool = Executors.newFixedThreadPool(2);

	private final Scheduler scheduler = Schedulers.fromExecutor(this.pool);

	@AfterEach
	void stop() {
		Hooks.disableAutomaticContextPropagation();
		this.scheduler.dispose();
		this.pool.shutdownNow();
		this.grpcPool.shutdownNow();
	}

	private <T> Function<T, T> look(String place, Function<T, String> name) {
		return (value) -> {
			this.places.add(place);
			if (!Callers.both().equals(Callers.both(name.apply(value)))) {
				this.seen.put(place, Callers.both());
			}
			return value;
		};
	}

	/** Hops between threads, looking around on each. */
	private Flux<EchoReply> hop(Flux<EchoRequest> requests) {
		return requests.map(look("source", EchoRequest::getText))
			.publishOn(this.scheduler)
			.map(look("publishOn", EchoRequest::getText))
			.flatMap((request) -> Mono.fromSupplier(() -> request)
				.map(look("subscribeOn", EchoRequest::getText))
				.subscribeOn(this.scheduler))
			.flatMap((request) -> ReactiveSecurityContextHolder.getContext()
				.map((context) -> context.getAuthentication().getName())
				.defaultIfEmpty("nobody")
				.doOnNext((name) -> {
					this.places.add("reactive holder");
					if (!name.equals(request.getText())) {
						this.seen.put("reactive holder", name);
					}
				})
				.thenReturn(request))
			.map((request) -> EchoReply.newBuilder().setText(request.getText()).build())
			.map(look("map", EchoReply::getText));
	}

	private TestServer serve(Function<Flux<EchoReply>, Flux<EchoReply>> last) {
		return TestServer.network(new ReactiveEcho((requests) -> last.apply(hop(requests))),
				(security) -> security.stages(List.of(TestStage.authentication())),
				(builder) -> builder.executor(this.grpcPool));
	}

	@ParameterizedTest
	@EnumSource
	void streamWhenCallerIsWrittenAndPropagationIsAutomaticThenOperatorsHaveIt(CallType type) throws Exception {
		Hooks.enableAutomaticContextPropagation();
		try (TestServer server = serve((replies) -> replies.contextWrite(ReactiveCaller.capture()))) {
			Callers.interleave(type, server.channel(), 250);

			assertThat(this.seen).isEmpty();
			assertThat(this.places).containsExactlyInAnyOrder("source", "publishOn", "subscribeOn", "reactive holder",
					"map");
			Callers.assertNothingLeftOn(this.grpcPool);
			Callers.assertNothingLeftOn(this.pool);
		}
	}

	@ParameterizedTest
	@EnumSource
	void streamWhenContextIsCapturedAndPropagationIsAutomaticThenThreadsHaveIt(CallType type) throws Exception {
		Hooks.enableAutomaticContextPropagation();
		try (TestServer server = serve(Flux::contextCapture)) {
			Callers.interleave(type, server.channel(), 50);

			assertThat(this.seen).containsOnly(Map.entry("reactive holder", "nobody"));
			Callers.assertNothingLeftOn(this.pool);
		}
	}

	@ParameterizedTest
	@EnumSource
	void streamWhenPropagationIsAutomaticOnlyThenNobodyIsSeenRatherThanAnother(CallType type) throws Exception {
		Hooks.enableAutomaticContextPropagation();
		try (TestServer server = serve((replies) -> replies)) {
			Callers.interleave(type, server.channel(), 50);

			assertThat(this.seen).containsEntry("reactive holder", "nobody");
			assertThat(this.seen.values()).isNotEmpty().isSubsetOf("nobody", Callers.NOBODY);
			if (type == CallType.CLIENT_STREAM || type == CallType.BIDI) {
				assertThat(this.seen).containsEntry("publishOn", Callers.NOBODY);
			}
			Callers.assertNothingLeftOn(this.pool);
		}
	}

	@Test
	void streamWhenNothingIsDoneThenOtherThreadsSeeNobody() {
		try (TestServer server = serve((replies) -> replies)) {
			CallType.UNARY.call(server.channel(), TestStage.user("alice"), "alice");

			assertThat(this.seen).containsEntry("publishOn", Callers.NOBODY).doesNotContainKey("source");
		}
	}

	@Test
	void streamWhenCallerIsWrittenOnlyThenReactiveHolderHasIt() {
		try (TestServer server = serve((replies) -> replies.contextWrite(ReactiveCaller.capture()))) {
			CallType.UNARY.call(server.channel(), TestStage.user("alice"), "alice");

			assertThat(this.places).contains("reactive holder");
			assertThat(this.seen).doesNotContainKeys("source", "reactive holder")
				.containsEntry("publishOn", Callers.NOBODY);
		}
	}

	@Test
	void registryWhenLibraryIsThereThenOneAccessorForEachOfTheTwo() {
		assertThat(ContextRegistry.getInstance().getThreadLocalAccessors())
			.filteredOn((accessor) -> accessor.key().equals(GrpcContextThreadLocalAccessor.KEY)
					|| accessor.key().equals(SecurityContext.class.getName()))
			.hasSize(2);
	}

	@Test
	void snapshotWhenSetElsewhereThenBothTravelAndNothingIsLeft() throws Exception {
		Context.Key<String> key = Context.key("test");
		ContextSnapshotFactory factory = ContextSnapshotFactory.builder().build();
		CallerContext nobody = CallerContext.capture();
		Context previous = Context.ROOT.withValue(key, "alice").attach();
		ContextSnapshot snapshot = factory.captureAll();
		nobody
			.run(() -> assertThat(factory.captureAll().toString()).doesNotContain(GrpcContextThreadLocalAccessor.KEY));
		Context.current().detach(previous);

		assertThat(this.pool.submit(snapshot.wrap(() -> key.get())).get()).isEqualTo("alice");
		assertThat(snapshot.wrap(() -> {
			try (ContextSnapshot.Scope scope = snapshot.setThreadLocals()) {
				assertThat(key.get()).isEqualTo("alice");
			}
			return key.get();
		}).call()).isEqualTo("alice");
		assertThat(Context.current()).isSameAs(Context.ROOT);
		Callers.assertNothingLeftOn(this.pool);
	}

	/** A service as the generator of reactor-grpc makes it. */
	private static final class ReactiveEcho extends EchoGrpc.EchoImplBase {

		private final Function<Flux<EchoRequest>, Flux<EchoReply>> handler;

		ReactiveEcho(Function<Flux<EchoRequest>, Flux<EchoReply>> handler) {
			this.handler = handler;
		}

		@Override
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			ServerCalls.oneToOne(request, replies, (one) -> this.handler.apply(Flux.just(one)).next(),
					ServerCalls::prepareError);
		}

		@Override
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			ServerCalls.oneToMany(request, replies, (one) -> this.handler.apply(Flux.just(one)),
					ServerCalls::prepareError);
		}

		@Override
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			return ServerCalls.manyToOne(replies, (requests) -> this.handler.apply(requests).last(),
					ServerCalls::prepareError, CallOptions.DEFAULT);
		}

		@Override
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			return ServerCalls.manyToMany(replies, this.handler, ServerCalls::prepareError, CallOptions.DEFAULT);
		}

	}

}
