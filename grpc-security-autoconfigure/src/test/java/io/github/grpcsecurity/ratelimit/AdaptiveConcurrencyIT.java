package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** What adaptive limits learn from the calls of real clients. */
class AdaptiveConcurrencyIT {

	/** More than a client takes before somebody reads. */
	private static final int LARGE = 2_000_000;

	private static final int LATE = 5;

	private final TestClock clock = new TestClock();

	private final EchoService service = new EchoService() {
		@Override
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			if (!request.getText().equals("forever")) {
				super.unary(request, replies);
			}
		}
	};

	/** Why a call is not answered in time. */
	enum Delay {

		CLIENT_SENDS_NO_MESSAGE, CLIENT_DOES_NOT_END, CLIENT_DOES_NOT_READ, HANDLER_DOES_NOT_ANSWER;

		boolean ofTheServer() {
			return this == HANDLER_DOES_NOT_ANSWER;
		}

		CompletableFuture<Code> call(TestServer server) {
			ClientCall<EchoRequest, EchoReply> call = server.channel()
				.newCall(EchoGrpc.getUnaryMethod(), CallOptions.DEFAULT.withDeadlineAfter(300, TimeUnit.MILLISECONDS));
			CompletableFuture<Code> end = new CompletableFuture<>();
			call.start(new ClientCall.Listener<>() {
				@Override
				public void onClose(Status status, Metadata trailers) {
					end.complete(status.getCode());
				}
			}, new Metadata());
			if (this != CLIENT_SENDS_NO_MESSAGE) {
				String text = switch (this) {
					case CLIENT_DOES_NOT_READ -> "x".repeat(LARGE);
					case HANDLER_DOES_NOT_ANSWER -> "forever";
					default -> "hello";
				};
				call.sendMessage(EchoRequest.newBuilder().setText(text).build());
				if (this != CLIENT_DOES_NOT_END) {
					call.halfClose();
				}
			}
			return end;
		}

	}

	@ParameterizedTest
	@EnumSource
	void limitWhenCallsAreLateThenOnlyTheServerIsToBlame(Delay delay) {
		ConcurrencyRule rule = new ConcurrencyRule("server", RateLimitKey.parse("global"),
				List.of(MethodPattern.parse("**")), 50, new ConcurrencyRule.Adaptive(5, 50), null, false,
				Status.Code.RESOURCE_EXHAUSTED);
		ConcurrencyLimiter limiter = new ConcurrencyLimiter(new RateLimitRules(List.of(), List.of(rule)), this.clock);
		this.service.probe = (callback) -> this.clock.advance(Duration.ofMillis(10));
		RateLimitObserver nobody = (applied, outcome) -> {
		};
		try (TestServer server = TestServer.network(this.service,
				List.of(ConcurrencyStage.beforeAuthentication(limiter, nobody)))) {
			for (int second = 0; second < 6; second++) {
				List<CompletableFuture<Code>> late = new ArrayList<>();
				// The first second shows what is usual
				for (int i = 0; second > 0 && i < LATE; i++) {
					late.add(delay.call(server));
				}
				for (int i = 0; i < 20; i++) {
					assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
				}
				this.clock.advance(Duration.ofSeconds(1));
				assertThat(late).allSatisfy((end) -> assertThat(end.orTimeout(10, TimeUnit.SECONDS).join())
					.isEqualTo(Code.DEADLINE_EXCEEDED));
				await().until(() -> limiter.inFlight("server") == 0);
			}

			if (delay.ofTheServer()) {
				assertThat(limiter.limit("server")).isLessThan(50);
			}
			else {
				assertThat(limiter.limit("server")).isEqualTo(50);
			}
		}
	}

}
