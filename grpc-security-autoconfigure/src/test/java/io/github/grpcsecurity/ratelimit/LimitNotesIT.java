package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.OpenEndedService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Status;
import org.junit.jupiter.api.Test;

import static io.github.grpcsecurity.ratelimit.TestRules.messages;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static io.github.grpcsecurity.ratelimit.TestRules.shadow;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** What audit events say about rules, with all stages of limits. */
class LimitNotesIT {

	private static final byte[] HELLO = EchoRequest.newBuilder().setText("hello").build().toByteArray();

	private static final RateLimitObserver NOBODY = (rule, outcome) -> {
	};

	private static ConcurrencyRule inFlight(String name, String key) {
		return new ConcurrencyRule(name, RateLimitKey.parse(key), List.of(MethodPattern.parse("**")), 1, null, null,
				true, Status.Code.RESOURCE_EXHAUSTED);
	}

	private static RateLimitRule hourly(String name, String key) {
		return shadow(rule(name, key, 1, Duration.ofHours(1)));
	}

	@Test
	void shadowWhenRulesOfAllStagesWouldRefuseThenEachIsNamedOnce() {
		RateLimitRules rules = new RateLimitRules(
				List.of(hourly("early", "peer"), hourly("early-too", "global"), hourly("late", "principal"),
						messages(hourly("messages", "principal"))),
				List.of(inFlight("server", "global"), inFlight("serv", "service"), inFlight("mine", "principal")));
		RateLimiter limiter = new InMemoryRateLimiter(1000, System::nanoTime);
		ConcurrencyLimiter inFlight = new ConcurrencyLimiter(rules, System::nanoTime);
		RecordingObserver observer = new RecordingObserver();
		OpenEndedService service = new OpenEndedService();
		try (GrpcSecurityThreads threads = new GrpcSecurityThreads();
				TestServer server = TestServer.network(service,
						List.of(TestStage.authentication(), ConcurrencyStage.beforeAuthentication(inFlight, NOBODY),
								ConcurrencyStage.afterAuthentication(inFlight, NOBODY),
								new PeerLimitStage(rules, limiter, NOBODY),
								new PrincipalLimitStage(rules, limiter, NOBODY),
								new MessageLimitStage(rules, limiter, NOBODY, threads.scheduler(), System::nanoTime)),
						observer)) {
			RawCall first = open(server);
			await().until(() -> service.open.get() == 1);
			RawCall second = open(server).send(HELLO).send(HELLO);
			await().until(() -> service.messages.get() == 4);
			second.cancel();
			first.cancel();
			await().until(() -> observer.closed.size() == 2);

			assertThat(observer.decided.get(0).call().notes()).isEmpty();
			assertThat(observer.decided.get(1).call().notes()).containsOnlyKeys("rate_limit.shadow")
				.containsEntry("rate_limit.shadow", "server,serv,early,early-too,mine,late,messages");
		}
	}

	private static RawCall open(TestServer server) {
		return RawCall.start(server.channel(), CallType.BIDI.method(), CallType.BIDI.grpcType(), TestStage.user("ann"))
			.send(HELLO);
	}

}
