package io.github.grpcsecurity.authorization;

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

import com.sun.management.ThreadMXBean;
import io.github.grpcsecurity.authorization.cel.CelConditionCompiler;
import io.github.grpcsecurity.server.CallCheck;
import io.github.grpcsecurity.server.HypotheticalCall;
import io.github.grpcsecurity.server.MessageCheck;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.stub.StreamObserver;
import jakarta.annotation.security.RolesAllowed;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.junit.jupiter.api.Test;

import org.springframework.security.access.annotation.Secured;
import org.springframework.security.access.prepost.PreAuthorize;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Tests for what a decision costs: bytes, and processor time of the thread, so that a
 * busy machine matters little. The best of many batches counts.
 */
class DecisionCostTests {

	private static final Log logger = LogFactory.getLog(DecisionCostTests.class);

	private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

	private static final EchoRequest MESSAGE = EchoRequest.newBuilder().setAmount(7).setText("hello").build();

	private static final int BATCH = 2_000;

	@Test
	void checkWhenAnnotationAllowsThenNothingIsAllocated() {
		Cost secured = cost(new Annotated(), "testing.Echo/Unary", (builder) -> {
		});
		Cost roles = cost(new Annotated(), "testing.Echo/ServerStream", (builder) -> {
		});
		Cost defaultAccess = cost(new EchoService(), "testing.Echo/Unary",
				(builder) -> builder.defaultAccess(Access.AUTHENTICATED));

		assertThat(List.of(secured.bytes(), roles.bytes(), defaultAccess.bytes())).containsOnly(0L);
		assertThat(List.of(secured.nanos(), roles.nanos(), defaultAccess.nanos())).allMatch((nanos) -> nanos < 2_000);
	}

	@Test
	void checkWhenConditionAllowsThenWithinMicroseconds() {
		cost(new Annotated(), "testing.Echo/Bidi", (builder) -> {
		});
		cost(new EchoService(), "testing.Echo/Unary", (builder) -> builder.rule("**", "hasAuthority('ROLE_A')"));
		Cost start = cost(new EchoService(), "testing.Echo/Unary",
				(builder) -> builder.rules(List.of(when("'ROLE_A' in auth.authorities"))));
		Cost message = cost(new EchoService(), "testing.Echo/Unary", (builder) -> builder
			.rules(List.of(when("message.amount <= 1000 || 'ROLE_TELLER' in auth.authorities"))));

		assertThat(List.of(start.nanos(), message.nanos())).allMatch((nanos) -> nanos < 10_000);
	}

	private static AuthorizationRule when(String condition) {
		return new AuthorizationRule(List.of("**"), "authenticated", condition, null, false, false, false);
	}

	private static Cost cost(EchoService service, String method, Consumer<AuthorizationStage.Builder> customizer) {
		AuthorizationStage.Builder builder = AuthorizationStage.builder().conditions(new CelConditionCompiler());
		customizer.accept(builder);
		try (TestServer server = TestServer.inProcess(service, List.of(builder.build()))) {
			MethodPlan plan = server.security()
				.plans()
				.stream()
				.filter((candidate) -> candidate.method().fullName().equals(method))
				.findFirst()
				.orElseThrow();
			HypotheticalCall call = CallDescription.user("alice", "ROLE_X", "ROLE_A")
				.describe(server.security().hypothetical(plan));
			DecisionRecorder recorder = new DecisionRecorder((rule, outcome) -> {
			});
			List<Opinion> opinions = new ArrayList<>();
			AuthorizationChain.of(plan).opinions().forEach((opinion) -> opinions.add(recorder.record(opinion, false)));
			Cost cost = cost(opinions, call.call());
			logger.info(opinions + ": " + cost);
			return cost;
		}
	}

	private static Cost cost(List<Opinion> opinions, SecuredCall call) {
		CallCheck callCheck = opinions.get(0).callCheck();
		MessageCheck messageCheck = opinions.get(0).messageCheck();
		assertThat(opinions).hasSize(1);
		long nanos = Long.MAX_VALUE;
		long bytes = Long.MAX_VALUE;
		for (int batch = 0; batch < 60; batch++) {
			long allocated = THREADS.getCurrentThreadAllocatedBytes();
			long start = THREADS.getCurrentThreadCpuTime();
			for (int i = 0; i < BATCH; i++) {
				if (callCheck != null && callCheck.check(call) != Verdict.proceed()) {
					throw new AssertionError("The call is refused");
				}
				if (messageCheck != null && messageCheck.check(call, MESSAGE) != Verdict.proceed()) {
					throw new AssertionError("The message is refused");
				}
			}
			nanos = Math.min(nanos, (THREADS.getCurrentThreadCpuTime() - start) / BATCH);
			bytes = Math.min(bytes, (THREADS.getCurrentThreadAllocatedBytes() - allocated) / BATCH);
		}
		return new Cost(nanos, bytes);
	}

	/**
	 * What one decision costs.
	 *
	 * @param nanos processor time
	 * @param bytes allocated
	 */
	record Cost(long nanos, long bytes) {
	}

	static class Annotated extends EchoService {

		@Override
		@Secured("ROLE_A")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

		@Override
		@RolesAllowed("A")
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.serverStream(request, replies);
		}

		@Override
		@PreAuthorize("hasRole('A')")
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			return super.bidi(replies);
		}

	}

}
