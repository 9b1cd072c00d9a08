package io.github.grpcsecurity.server;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import java.util.stream.IntStream;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** No way to end a call keeps a permit that the call took. */
class PermitReleaseIT {

	private static final int LIMIT = 10;

	private static final int CALLS = 10_000;

	private static final byte[] GARBAGE = { (byte) 0xff, 1, 2 };

	private static final byte[] THROW = EchoRequest.newBuilder().setText("throw").build().toByteArray();

	private final Semaphore permits = new Semaphore(LIMIT);

	private final AtomicInteger taken = new AtomicInteger();

	private final TestStage limiter = TestStage.check(SecurityStage.PEER_LIMITS, (call) -> {
		if (!this.permits.tryAcquire()) {
			return Verdict.refuse(Refusal.overLimit("test", Duration.ZERO));
		}
		this.taken.incrementAndGet();
		call.onClosed((status) -> this.permits.release());
		return Verdict.proceed();
	});

	@Test
	void permitsWhenCallsAreMalformedCancelledOrThrowingThenAllComeBack() {
		EchoService service = new EchoService();
		service.probe = (callback) -> {
			if (SecuredCall.current() != null && SecuredCall.current().headers().containsKey(TestStage.USER)) {
				throw new IllegalStateException("test");
			}
		};
		Logger log = (Logger) LoggerFactory.getLogger(StatusTranslator.class);
		log.setLevel(Level.OFF);
		try (TestServer server = TestServer.network(service, List.of(this.limiter))) {
			flood(() -> RawCall.start(server.channel(), "testing.Echo/Unary", MethodType.UNARY, new Metadata())
				.send(GARBAGE)
				.halfClose());
			flood(() -> RawCall.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING, new Metadata())
				.cancel());
			flood(() -> RawCall
				.start(server.channel(), "testing.Echo/Unary", MethodType.UNARY, TestStage.user("thrower"))
				.send(THROW)
				.halfClose());

			await().untilAsserted(() -> assertThat(this.permits.availablePermits()).isEqualTo(LIMIT));
			// A cancelled call may be gone before it takes one
			assertThat(this.taken.get()).isGreaterThan(2 * CALLS);
			List<RawCall> good = IntStream.range(0, LIMIT)
				.mapToObj((i) -> RawCall.start(server.channel(), "testing.Echo/Unary", MethodType.UNARY, new Metadata())
					.send(THROW)
					.halfClose())
				.toList();
			assertThat(good).allSatisfy((call) -> assertThat(call.await().status().getCode()).isEqualTo(Code.OK));
			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.OK);
		}
		finally {
			log.setLevel(null);
		}
	}

	/** Makes many calls, a few at a time. */
	private static void flood(Supplier<RawCall> call) {
		List<RawCall> inFlight = new ArrayList<>();
		for (int i = 0; i < CALLS; i++) {
			inFlight.add(call.get());
			if (inFlight.size() == LIMIT) {
				inFlight.forEach(RawCall::await);
				inFlight.clear();
			}
		}
		inFlight.forEach(RawCall::await);
	}

}
