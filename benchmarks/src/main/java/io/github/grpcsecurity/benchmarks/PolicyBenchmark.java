package io.github.grpcsecurity.benchmarks;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.authorization.policy.AuthorizationPolicy;
import io.github.grpcsecurity.authorization.policy.PolicyDecision;
import io.github.grpcsecurity.benchmarks.proto.EchoGrpc;
import io.github.grpcsecurity.benchmarks.proto.EchoMessage;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.ForwardedPeer;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.MetadataUtils;
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

/** What a policy file with 1,000 rules costs a call. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class PolicyBenchmark {

	private static final int RULES = 1000;

	/**
	 * Rules about 1,000 methods, as large policies have them; or all about this method,
	 * told apart by principal or by a header, where only the last one matches.
	 */
	@Param({ "paths", "principals", "headers" })
	public String variant;

	private AuthorizationPolicy policy;

	private SecuredCall call;

	private Server server;

	private ManagedChannel channel;

	@Setup
	public void start() throws IOException, InterruptedException {
		this.policy = AuthorizationPolicy.parse(policy().getBytes(StandardCharsets.UTF_8));
		BlockingQueue<SecuredCall> calls = new LinkedBlockingQueue<>();
		EchoGrpc.EchoImplBase service = new EchoGrpc.EchoImplBase() {
		};
		InProcessServerBuilder builder = InProcessServerBuilder.forName("policy");
		GrpcServerSecurity.builder()
			.executor(Runnable::run)
			.stages(List.of(new Capture(calls)))
			.build()
			.install(builder, List.of(new SecuredService(service.bindService(), service, "echo")));
		this.server = builder.build().start();
		this.channel = InProcessChannelBuilder.forName("policy").build();
		Metadata headers = new Metadata();
		headers.put(Metadata.Key.of("tenant", Metadata.ASCII_STRING_MARSHALLER), "tenant-" + (RULES - 1));
		EchoGrpc.newFutureStub(this.channel)
			.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
			.unary(EchoMessage.getDefaultInstance());
		this.call = calls.take();
		if (!decide().allowed()) {
			throw new IllegalStateException("The last rule should allow the call");
		}
	}

	private String policy() {
		StringBuilder rules = new StringBuilder();
		for (int i = 0; i < RULES; i++) {
			boolean last = i == RULES - 1;
			String path = (this.variant.equals("paths") && !last) ? "/bench.Service" + i + "/*" : "/bench.Echo/Unary";
			String source = this.variant.equals("principals")
					? "\"source\": {\"principals\": [\"spiffe://bench.example/client/" + i + "\"]}, " : "";
			String headers = this.variant.equals("headers")
					? ", \"headers\": [{\"key\": \"tenant\", \"values\": [\"tenant-" + i + "\"]}]" : "";
			rules.append((i > 0) ? ", " : "")
				.append("{\"name\": \"rule-" + i + "\", " + source + "\"request\": {\"paths\": [\"" + path + "\"]"
						+ headers + "}}");
		}
		return "{\"name\": \"bench\", \"allow_rules\": [" + rules + "]}";
	}

	@Benchmark
	public PolicyDecision decide() {
		return this.policy.decide(this.call);
	}

	@TearDown
	public void stop() {
		this.channel.shutdownNow();
		this.server.shutdownNow();
	}

	/** Gives its caller a certificate and lets go of the call. */
	private record Capture(BlockingQueue<SecuredCall> calls) implements CallStage {

		@Override
		public SecurityStage stage() {
			return SecurityStage.AUTHORIZATION;
		}

		@Override
		public void plan(SecuredMethod method, MethodPlan.Builder plan) {
			plan.check("capture", (call) -> {
				call.forwarded(new ForwardedPeer(null, PeerIdentity
					.of(List.of("spiffe://bench.example/client/" + (RULES - 1)), List.of(), null, null)));
				this.calls.add(call);
				return Verdict.proceed();
			});
		}

	}

}
