package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.PeerLimitStage;
import io.github.grpcsecurity.ratelimit.RateLimitKey;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.UnmatchedMethodPatternException;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.grpc.Status;
import org.junit.jupiter.api.Test;

import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.diagnostics.FailureAnalyzer;
import org.springframework.context.ApplicationContextException;
import org.springframework.core.io.support.SpringFactoriesLoader;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatNoException;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

class GrpcRateLimitFailureAnalyzerTests {

	private static PeerLimitStage stage(String pattern) {
		RateLimitRule rule = new RateLimitRule("per-peer", RateLimitKey.parse("peer"),
				List.of(MethodPattern.parse(pattern)), new Gcra(1, Duration.ofSeconds(1), 1, 1), false,
				RateLimitRule.OnFailure.LOCAL, Status.Code.RESOURCE_EXHAUSTED);
		return new PeerLimitStage(List.of(rule), (permits) -> new CompletableFuture<>(), (applied, outcome) -> {
		});
	}

	private static List<SecuredMethod> methods() {
		return List.of(new SecuredMethod(EchoGrpc.getUnaryMethod(), null, null),
				new SecuredMethod(EchoGrpc.getBidiMethod(), null, null));
	}

	@Test
	void analyzeWhenPatternMatchesNoMethodThenActionListsTheMethods() {
		UnmatchedMethodPatternException failure = catchThrowableOfType(UnmatchedMethodPatternException.class,
				() -> stage("bank.*/*").planned(methods()));

		FailureAnalysis analysis = new GrpcRateLimitFailureAnalyzer()
			.analyze(new ApplicationContextException("start", failure));

		assertThat(analysis.getDescription()).isEqualTo("grpc.security.rate-limit.rules: the rule 'per-peer' is for "
				+ "methods 'bank.*/*', but this server has no such method.");
		assertThat(analysis.getAction())
			.isEqualTo("Correct or remove the pattern. The server has: testing.Echo/Bidi, testing.Echo/Unary.");
	}

	@Test
	void analyzeWhenFailureIsAnotherThenNothingIsSaid() {
		assertThat(new GrpcRateLimitFailureAnalyzer().analyze(new IllegalStateException("other"))).isNull();
	}

	@Test
	void plannedWhenPatternMatchesOrServerHasNoMethodsThenStarts() {
		assertThatNoException().isThrownBy(() -> stage("testing.*/*").planned(methods()));
		assertThatNoException().isThrownBy(() -> stage("**").planned(methods()));
		assertThatNoException().isThrownBy(() -> stage("bank.*/*").planned(List.of()));
	}

	@Test
	void factoriesWhenLoadedThenAnalyzerIsRegistered() {
		assertThat(SpringFactoriesLoader.forDefaultResourceLocation()
			.load(FailureAnalyzer.class,
					SpringFactoriesLoader.FailureHandler.logging(
							org.apache.commons.logging.LogFactory.getLog(GrpcRateLimitFailureAnalyzerTests.class))))
			.hasAtLeastOneElementOfType(GrpcRateLimitFailureAnalyzer.class);
	}

}
