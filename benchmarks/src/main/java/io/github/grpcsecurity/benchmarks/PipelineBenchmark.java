package io.github.grpcsecurity.benchmarks;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import java.util.concurrent.TimeUnit;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import io.github.grpcsecurity.benchmarks.proto.EchoGrpc;
import io.github.grpcsecurity.benchmarks.proto.EchoMessage;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.inprocess.InProcessChannelBuilder;
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

import org.springframework.boot.WebApplicationType;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;

/** A unary call through the whole pipeline, against the same call without it. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 5, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(1)
public class PipelineBenchmark {

	private static final EchoMessage MESSAGE = EchoMessage.newBuilder().setText("hello").build();

	/** Off, the pipeline with everything but tokens, or everything. */
	@Param({ "bare", "anonymous", "full" })
	public String variant;

	private ConfigurableApplicationContext context;

	private ManagedChannel channel;

	private EchoGrpc.EchoBlockingStub stub;

	@Setup
	public void start() throws IOException, GeneralSecurityException, JOSEException {
		Path publicKey = Files.createTempFile("benchmark", ".pem");
		KeyPair keys = KeyPairGenerator.getInstance("RSA").generateKeyPair();
		Files.writeString(publicKey,
				"-----BEGIN PUBLIC KEY-----\n" + Base64.getMimeEncoder().encodeToString(keys.getPublic().getEncoded())
						+ "\n-----END PUBLIC KEY-----\n");
		List<String> properties = new ArrayList<>(List.of("grpc.server.port=-1",
				"grpc.server.in-process-name=benchmark", "grpc.security.enabled=" + !this.variant.equals("bare"),
				"logging.level.root=WARN", "logging.level.grpc.security.audit=OFF", "spring.main.banner-mode=off",
				"grpc.security.rate-limit.store=memory", "grpc.security.rate-limit.rules[0].name=peer",
				"grpc.security.rate-limit.rules[0].key=peer", "grpc.security.rate-limit.rules[0].limit=100000000",
				"grpc.security.rate-limit.rules[1].name=user", "grpc.security.rate-limit.rules[1].key=principal",
				"grpc.security.rate-limit.rules[1].limit=100000000"));
		if (this.variant.equals("full")) {
			properties.addAll(List.of("grpc.security.authentication.jwt.issuers[0].issuer-uri=https://issuer.example",
					"grpc.security.authentication.jwt.issuers[0].audiences=bench",
					"grpc.security.authentication.jwt.issuers[0].public-key-location=file:" + publicKey,
					"grpc.security.authorization.rules[0].methods=bench.Echo/Unary",
					"grpc.security.authorization.rules[0].access=authenticated"));
		}
		Class<?> service = this.variant.equals("full") ? EchoServices.Annotated.class : EchoServices.Open.class;
		this.context = new SpringApplicationBuilder(EchoApplication.class, service).web(WebApplicationType.NONE)
			.properties(properties.toArray(String[]::new))
			.run();
		this.channel = InProcessChannelBuilder.forName("benchmark").directExecutor().build();
		Metadata headers = new Metadata();
		headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token(keys));
		this.stub = EchoGrpc.newBlockingStub(this.channel);
		if (!this.variant.equals("anonymous")) {
			this.stub = this.stub.withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
		}
	}

	private static String token(KeyPair keys) throws JOSEException {
		SignedJWT jwt = new SignedJWT(new JWSHeader(JWSAlgorithm.RS256),
				new JWTClaimsSet.Builder().issuer("https://issuer.example")
					.audience("bench")
					.subject("caller")
					.claim("scope", "read")
					.issueTime(new Date())
					.expirationTime(Date.from(Instant.now().plusSeconds(3600)))
					.build());
		jwt.sign(new RSASSASigner(keys.getPrivate()));
		return jwt.serialize();
	}

	@Benchmark
	public EchoMessage unary() {
		return this.stub.unary(MESSAGE);
	}

	@TearDown
	public void stop() {
		this.channel.shutdownNow();
		this.context.close();
	}

}
