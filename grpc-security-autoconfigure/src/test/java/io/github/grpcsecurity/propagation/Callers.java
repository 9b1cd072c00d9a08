package io.github.grpcsecurity.propagation;

import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Channel;
import io.grpc.Status.Code;

import org.springframework.security.authentication.TestingAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContext;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.core.context.SecurityContextImpl;

import static org.assertj.core.api.Assertions.assertThat;

/** Who the current thread works for, and many callers at once. */
final class Callers {

	static final String NOBODY = "nobody/anonymous";

	private Callers() {
	}

	static String holder() {
		Authentication authentication = SecurityContextHolder.getContext().getAuthentication();
		return (authentication != null) ? authentication.getName() : "nobody";
	}

	/** The caller by Spring's holder and by gRPC's context. */
	static String both() {
		return holder() + "/" + GrpcCaller.current().name();
	}

	static String both(String name) {
		return name + "/" + name;
	}

	static SecurityContext identity(String name) {
		return new SecurityContextImpl(new TestingAuthenticationToken(name, ""));
	}

	/** Each caller sends its name. */
	static void interleave(CallType type, Channel channel, int callers) throws Exception {
		ExecutorService clients = Executors.newFixedThreadPool(16);
		try {
			List<Future<CallType.Outcome>> calls = IntStream.range(0, callers).mapToObj((i) -> clients.submit(() -> {
				String name = "caller-" + i;
				return type.call(channel, TestStage.user(name), name, name);
			})).toList();
			for (Future<CallType.Outcome> call : calls) {
				CallType.Outcome outcome = call.get(60, TimeUnit.SECONDS);
				assertThat(outcome.code()).as(outcome.toString()).isEqualTo(Code.OK);
			}
		}
		finally {
			clients.shutdownNow();
		}
	}

	/** A pool of two threads must have nothing left of its calls. */
	static void assertNothingLeftOn(ExecutorService pool) throws Exception {
		CountDownLatch both = new CountDownLatch(2);
		List<Future<String>> probes = IntStream.range(0, 2).mapToObj((i) -> pool.submit(() -> {
			both.countDown();
			both.await(10, TimeUnit.SECONDS);
			return both();
		})).toList();
		for (Future<String> probe : probes) {
			assertThat(probe.get(10, TimeUnit.SECONDS)).isEqualTo(NOBODY);
		}
	}

}
