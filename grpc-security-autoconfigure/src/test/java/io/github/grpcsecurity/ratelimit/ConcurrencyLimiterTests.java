package io.github.grpcsecurity.ratelimit;

import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;

import com.sun.management.ThreadMXBean;
import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Status;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class ConcurrencyLimiterTests {

	private static final int CALLS = 100_000;

	private static ConcurrencyRule rule(int limit) {
		return new ConcurrencyRule("server", RateLimitKey.parse("global"), List.of(MethodPattern.parse("**")), limit,
				null, null, false, Status.Code.RESOURCE_EXHAUSTED);
	}

	private static ConcurrencyLimiter limiter(ConcurrencyRule rule) {
		return new ConcurrencyLimiter(new RateLimitRules(List.of(), List.of(rule)), System::nanoTime);
	}

	/** A call that has ended: what it takes is given back at once. */
	private static SecuredCall ended() {
		AtomicReference<SecuredCall> ended = new AtomicReference<>();
		try (TestServer server = TestServer.inProcess(new EchoService(),
				List.of(TestStage.check(SecurityStage.PEER_LIMITS, (call) -> {
					ended.set(call);
					return Verdict.proceed();
				})))) {
			CallType.UNARY.call(server.channel());
		}
		return ended.get();
	}

	@Test
	void enterWhenCallHasEndedMeanwhileThenItsPlaceIsFreeAtOnce() {
		ConcurrencyLimiter limiter = limiter(rule(1));
		SecuredCall call = ended();

		for (int i = 0; i < 3; i++) {
			assertThat(limiter.enter(rule(1), "key", false, call)).isEqualTo(Outcome.ALLOWED);
		}

		assertThat(limiter.inFlight("server")).isZero();
		assertThat(limiter.size("server")).isZero();
	}

	@Test
	void enterWhenKeysAreManyThenNoneIsKeptAndAPlaceCostsLittle() {
		ConcurrencyLimiter limiter = limiter(rule(10));
		String[] keys = IntStream.range(0, CALLS).mapToObj((i) -> "key-" + i).toArray(String[]::new);

		// The place, and an entry for a key that nobody else uses
		assertThat(bytesPerCall(limiter, keys)).isLessThan(200);
		assertThat(limiter.size("server")).isZero();
	}

	@Test
	void enterWhenKeyIsInUseThenAPlaceCostsLess() {
		ConcurrencyRule adaptive = new ConcurrencyRule("server", RateLimitKey.parse("global"),
				List.of(MethodPattern.parse("**")), 10, new ConcurrencyRule.Adaptive(1, 10), null, false,
				Status.Code.RESOURCE_EXHAUSTED);
		ConcurrencyLimiter limiter = limiter(adaptive);
		String[] keys = new String[CALLS];
		Arrays.fill(keys, "all");

		assertThat(bytesPerCall(limiter, keys)).isLessThan(200);
		assertThat(limiter.inFlight("server")).isZero();
	}

	private static long bytesPerCall(ConcurrencyLimiter limiter, String[] keys) {
		ConcurrencyRule rule = limiter.rules().get(0);
		SecuredCall call = ended();
		for (String key : keys) {
			limiter.enter(rule, key, false, call);
		}
		ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
		long before = threads.getCurrentThreadAllocatedBytes();
		for (String key : keys) {
			limiter.enter(rule, key, false, call);
		}
		return (threads.getCurrentThreadAllocatedBytes() - before) / keys.length;
	}

}
