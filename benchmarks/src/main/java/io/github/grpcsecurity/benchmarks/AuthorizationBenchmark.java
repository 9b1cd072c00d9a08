package io.github.grpcsecurity.benchmarks;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.authorization.AuthorizationRule;
import io.github.grpcsecurity.authorization.AuthorizationStage;
import io.github.grpcsecurity.authorization.cel.CelConditionCompiler;
import io.github.grpcsecurity.benchmarks.proto.EchoGrpc;
import io.github.grpcsecurity.benchmarks.proto.EchoMessage;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.StreamObserver;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

import org.springframework.security.access.annotation.Secured;
import org.springframework.security.access.prepost.PreAuthorize;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.authority.AuthorityUtils;

/**
 * What a decision costs: subtract {@code none}, where nothing is asked, from the others.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class AuthorizationBenchmark {

	private static final EchoMessage MESSAGE = EchoMessage.newBuilder().setText("hello").build();

	private static final VerifiedCredential CREDENTIAL = VerifiedCredential.of("jwt",
			UsernamePasswordAuthenticationToken.authenticated("alice", null,
					AuthorityUtils.createAuthorityList("ROLE_USER", "SCOPE_echo")));

	/** What decides. */
	@Param({ "none", "secured", "preauthorize", "rule-word", "rule-spel", "rule-cel", "rule-cel-message" })
	public String variant;

	private Server server;

	private ManagedChannel channel;

	private EchoGrpc.EchoBlockingStub stub;

	@Setup
	public void start() throws IOException {
		EchoGrpc.EchoImplBase service = switch (this.variant) {
			case "secured" -> new SecuredEcho();
			case "preauthorize" -> new PreAuthorizedEcho();
			default -> new Echo();
		};
		List<CallStage> stages = new ArrayList<>(List.of(new Believing()));
		if (!this.variant.equals("none")) {
			stages.add(authorization(this.variant));
		}
		String name = UUID.randomUUID().toString();
		InProcessServerBuilder builder = InProcessServerBuilder.forName(name).directExecutor().addService(service);
		GrpcServerSecurity.builder()
			.executor(Runnable::run)
			.stages(stages)
			.build()
			.install(builder, List.of(new SecuredService(service.bindService(), service, "echo")));
		this.server = builder.build().start();
		this.channel = InProcessChannelBuilder.forName(name).directExecutor().build();
		this.stub = EchoGrpc.newBlockingStub(this.channel);
	}

	private static AuthorizationStage authorization(String variant) {
		AuthorizationStage.Builder builder = AuthorizationStage.builder().conditions(new CelConditionCompiler());
		switch (variant) {
			case "rule-word" -> builder.rule("**", "authenticated");
			case "rule-spel" -> builder.rule("**", "hasAuthority('SCOPE_echo')");
			case "rule-cel" -> builder.rules(List.of(rule("**", "'SCOPE_echo' in auth.authorities")));
			case "rule-cel-message" ->
				builder.rules(List.of(rule("**", "message.text != 'secret' || 'ROLE_TELLER' in auth.authorities")));
			default -> {
			}
		}
		return builder.build();
	}

	private static AuthorizationRule rule(String method, String when) {
		return new AuthorizationRule(List.of(method), "authenticated", when, null, false, false, false);
	}

	@TearDown
	public void stop() {
		this.channel.shutdownNow();
		this.server.shutdownNow();
	}

	@Benchmark
	public EchoMessage call() {
		return this.stub.unary(MESSAGE);
	}

	/**
	 * What 1,000 rules with conditions cost at startup, the plans of all methods
	 * included.
	 */
	@State(Scope.Benchmark)
	@BenchmarkMode(Mode.SingleShotTime)
	@OutputTimeUnit(TimeUnit.MILLISECONDS)
	@Warmup(iterations = 0)
	@Measurement(iterations = 1)
	@Fork(3)
	public static class Startup {

		@Benchmark
		public GrpcServerSecurity thousandRules() {
			List<AuthorizationRule> rules = new ArrayList<>();
			for (int i = 0; i < 1000; i++) {
				rules.add(new AuthorizationRule(List.of("bench.Echo/Unary"), "hasAuthority('SCOPE_" + i + "')",
						"message.text != '" + i + "'", "rule-" + i, false, false, i < 999));
			}
			EchoGrpc.EchoImplBase service = new Echo();
			GrpcServerSecurity security = GrpcServerSecurity.builder()
				.executor(Runnable::run)
				.stages(List
					.of(AuthorizationStage.builder().conditions(new CelConditionCompiler()).rules(rules).build()))
				.build();
			security.install(InProcessServerBuilder.forName("startup").addService(service),
					List.of(new SecuredService(service.bindService(), service, "echo")));
			return security;
		}

	}

	static class Echo extends EchoGrpc.EchoImplBase {

		@Override
		public void unary(EchoMessage message, StreamObserver<EchoMessage> replies) {
			replies.onNext(message);
			replies.onCompleted();
		}

	}

	static final class SecuredEcho extends Echo {

		@Override
		@Secured("SCOPE_echo")
		public void unary(EchoMessage message, StreamObserver<EchoMessage> replies) {
			super.unary(message, replies);
		}

	}

	static final class PreAuthorizedEcho extends Echo {

		@Override
		@PreAuthorize("hasAuthority('SCOPE_echo')")
		public void unary(EchoMessage message, StreamObserver<EchoMessage> replies) {
			super.unary(message, replies);
		}

	}

	/** Every caller is the same one. */
	private static final class Believing implements CallStage {

		@Override
		public SecurityStage stage() {
			return SecurityStage.AUTHENTICATION;
		}

		@Override
		public void plan(SecuredMethod method, MethodPlan.Builder plan) {
			plan.check("benchmark", (call) -> {
				call.authenticated(CREDENTIAL);
				return Verdict.proceed();
			});
		}

	}

}
