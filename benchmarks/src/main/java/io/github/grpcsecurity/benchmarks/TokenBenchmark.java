package io.github.grpcsecurity.benchmarks;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSSigner;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.authentication.jwt.JwtCredentialAuthenticator;
import io.github.grpcsecurity.authentication.jwt.JwtIssuer;
import io.github.grpcsecurity.benchmarks.proto.EchoGrpc;
import io.github.grpcsecurity.benchmarks.proto.EchoMessage;
import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredService;
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

import org.springframework.core.io.ByteArrayResource;

/**
 * What one look at a token costs: a good one that is known, one whose signature is
 * verified, and bad ones.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 3, time = 1)
@Fork(1)
public class TokenBenchmark {

	/** What is presented. */
	@Param({ "known", "verified", "bad-signature", "unknown-kid", "malformed" })
	public String token;

	/** What it is signed with. */
	@Param({ "RS256", "ES256" })
	public String algorithm;

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private JwtCredentialAuthenticator authenticator;

	private SecuredCall call;

	private AuthorizationHeader header;

	private Server server;

	private ManagedChannel channel;

	@Setup
	public void start() throws IOException, GeneralSecurityException, JOSEException {
		boolean rsa = this.algorithm.equals("RS256");
		KeyPairGenerator generator = KeyPairGenerator.getInstance(rsa ? "RSA" : "EC");
		generator.initialize(rsa ? 2048 : 256);
		KeyPair keys = generator.generateKeyPair();
		KeyPair signer = this.token.equals("bad-signature") ? generator.generateKeyPair() : keys;
		JWSSigner jws = rsa ? new RSASSASigner(signer.getPrivate())
				: new ECDSASigner((java.security.interfaces.ECPrivateKey) signer.getPrivate());
		SignedJWT jwt = new SignedJWT(
				new JWSHeader.Builder(JWSAlgorithm.parse(this.algorithm))
					.keyID(this.token.equals("unknown-kid") ? "other" : "key")
					.build(),
				new JWTClaimsSet.Builder().issuer("https://issuer.example")
					.audience("bench")
					.subject("caller")
					.jwtID("7c2b8ae4-4b0e-4f0c-9d5e-0d7b8a2f5a10")
					.claim("scope", "accounts.read accounts.write")
					.claim("realm_access", List.of("teller", "auditor", "offline_access"))
					.claim("email", "caller@issuer.example")
					.issueTime(new Date())
					.expirationTime(Date.from(Instant.now().plusSeconds(3600)))
					.build());
		jwt.sign(jws);
		String value = jwt.serialize();
		this.header = new AuthorizationHeader("Bearer",
				this.token.equals("malformed") ? value.substring(0, value.lastIndexOf('.')) : value);
		this.authenticator = JwtCredentialAuthenticator.builder(this.threads)
			.cache(this.token.equals("known") ? Duration.ofHours(1) : Duration.ZERO, 10_000)
			.issuers(List.of(JwtIssuer.of("https://issuer.example")
				.audiences(List.of("bench"))
				.publicKeys(new ByteArrayResource(jwkSet(keys).getBytes(StandardCharsets.UTF_8)))
				.build()))
			.build();
		this.call = anyCall();
		boolean good = this.authenticator.authenticate(this.call,
				this.header) instanceof CredentialResult.Authenticated;
		if (good != (this.token.equals("known") || this.token.equals("verified"))) {
			throw new IllegalStateException("The token is not what it should be");
		}
	}

	private static String jwkSet(KeyPair keys) {
		Object jwk = (keys
			.getPublic() instanceof java.security.interfaces.RSAPublicKey rsa)
					? new com.nimbusds.jose.jwk.RSAKey.Builder(rsa).keyID("key").build().toJSONString()
					: new com.nimbusds.jose.jwk.ECKey.Builder(com.nimbusds.jose.jwk.Curve.P_256,
							(java.security.interfaces.ECPublicKey) keys.getPublic())
						.keyID("key")
						.build()
						.toJSONString();
		return "{\"keys\":[" + jwk + "]}";
	}

	private SecuredCall anyCall() throws IOException {
		AtomicReference<SecuredCall> seen = new AtomicReference<>();
		EchoGrpc.EchoImplBase service = new EchoGrpc.EchoImplBase() {
			@Override
			public void unary(EchoMessage request, StreamObserver<EchoMessage> replies) {
				// No answer
			}
		};
		InProcessServerBuilder builder = InProcessServerBuilder.forName("tokens").addService(service);
		GrpcServerSecurity.builder().executor(this.threads.executor()).observers(List.of(new CallObserver() {
			@Override
			public void decided(SecuredCall decided, CallDecision decision) {
				seen.set(decided);
			}
		})).build().install(builder, List.of(new SecuredService(service.bindService(), service, "echo")));
		this.server = builder.build().start();
		this.channel = InProcessChannelBuilder.forName("tokens").build();
		// Nobody answers, so the call stays open: nothing is computed for one that is
		// over
		EchoGrpc.newFutureStub(this.channel).unary(EchoMessage.getDefaultInstance());
		while (seen.get() == null) {
			Thread.onSpinWait();
		}
		return seen.get();
	}

	@Benchmark
	public CredentialResult look() {
		return this.authenticator.authenticate(this.call, this.header);
	}

	@TearDown
	public void stop() {
		this.channel.shutdownNow();
		this.server.shutdownNow();
		this.authenticator.close();
		this.threads.close();
	}

}
