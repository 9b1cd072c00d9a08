package io.github.grpcsecurity.hardening;

import java.io.ByteArrayOutputStream;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawHttp2Client;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Streams that are reset at once buy no crypto, even where nothing limits the resets. */
class RapidResetIT {

	private static final int STREAMS = 5000;

	@Test
	void checksWhenStreamsAreResetRapidlyThenFewRun() throws Exception {
		KeyPair keys = KeyPairGenerator.getInstance("EC").generateKeyPair();
		Signature signer = Signature.getInstance("SHA256withECDSA");
		signer.initSign(keys.getPrivate());
		signer.update(new byte[500]);
		byte[] signature = signer.sign();
		AtomicInteger verifications = new AtomicInteger();
		TestStage stage = TestStage.check(SecurityStage.AUTHENTICATION, (call) -> {
			if (!call.cancelledMeanwhile()) {
				verifications.incrementAndGet();
				verify(keys, signature);
			}
			return Verdict.proceed();
		});
		RecordingObserver observer = new RecordingObserver();
		EchoService service = new EchoService();
		// As many threads as fall behind one connection, however many cores there are
		ExecutorService calls = Executors.newFixedThreadPool(2);
		try (TestServer server = TestServer.network(service,
				(security) -> security.stages(List.of(stage)).observers(List.of(observer)),
				(builder) -> builder.executor(calls)); RawHttp2Client client = new RawHttp2Client(server.port())) {
			ByteArrayOutputStream frames = new ByteArrayOutputStream();
			for (int i = 0; i < STREAMS; i++) {
				frames.write(RawHttp2Client.callAndReset(2 * i + 1, "/testing.Echo/Unary"));
			}
			client.send(frames.toByteArray());

			await().until(() -> observer.closed.size() == STREAMS);
			assertThat(observer.decided).hasSize(STREAMS);
			assertThat(verifications.get()).isLessThanOrEqualTo(STREAMS / 10);
		}
		finally {
			calls.shutdownNow();
		}
	}

	private static void verify(KeyPair keys, byte[] signature) {
		try {
			Signature verifier = Signature.getInstance("SHA256withECDSA");
			verifier.initVerify(keys.getPublic());
			verifier.update(new byte[500]);
			assertThat(verifier.verify(signature)).isTrue();
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

}
