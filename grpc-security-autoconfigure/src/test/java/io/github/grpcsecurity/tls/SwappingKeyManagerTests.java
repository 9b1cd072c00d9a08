package io.github.grpcsecurity.tls;

import java.nio.ByteBuffer;
import java.time.InstantSource;
import java.util.List;

import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult.HandshakeStatus;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.TrustManager;

import io.github.grpcsecurity.testing.TestCertificates;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

class SwappingKeyManagerTests {

	private static final int ENOUGH = 64 * 1024;

	private final TestCertificates certificates = TestCertificates.create();

	@Test
	void chooseWhenClientShakesHandsAgainThenThereIsNoKey() throws Exception {
		TlsMaterial material = new TlsMaterial("test", this.certificates.server().getKeyPair().getPrivate(),
				List.of(this.certificates.server().getCertificatePath()), List.of());
		SSLContext serverContext = SSLContext.getInstance("TLSv1.2");
		serverContext.init(
				new KeyManager[] {
						new TlsCredentials(() -> material, ClientAuth.NONE, InstantSource.system()).keyManager() },
				null, null);
		SSLContext clientContext = SSLContext.getInstance("TLSv1.2");
		clientContext.init(null, new TrustManager[] { this.certificates.ca().toTrustManager() }, null);
		SSLEngine server = serverContext.createSSLEngine();
		server.setUseClientMode(false);
		SSLEngine client = clientContext.createSSLEngine("localhost", 1);
		client.setUseClientMode(true);
		client.beginHandshake();
		shakeHands(client, server);
		assertThat(server.getSession().getProtocol()).isEqualTo("TLSv1.2");
		// A whole handshake, not a resumed one
		client.getSession().invalidate();

		client.beginHandshake();

		assertThatExceptionOfType(SSLHandshakeException.class).isThrownBy(() -> shakeHands(client, server));
	}

	private static void shakeHands(SSLEngine client, SSLEngine server) throws SSLException {
		ByteBuffer toServer = ByteBuffer.allocate(ENOUGH);
		ByteBuffer toClient = ByteBuffer.allocate(ENOUGH);
		for (int i = 0; i < 100 && (busy(client) || busy(server) || i == 0); i++) {
			step(client, toServer, toClient);
			step(server, toClient, toServer);
		}
	}

	private static boolean busy(SSLEngine engine) {
		return engine.getHandshakeStatus() != HandshakeStatus.NOT_HANDSHAKING;
	}

	private static void step(SSLEngine engine, ByteBuffer out, ByteBuffer in) throws SSLException {
		in.flip();
		engine.unwrap(in, ByteBuffer.allocate(ENOUGH));
		in.compact();
		if (engine.getHandshakeStatus() == HandshakeStatus.NEED_TASK) {
			engine.getDelegatedTask().run();
		}
		if (engine.getHandshakeStatus() == HandshakeStatus.NEED_WRAP) {
			engine.wrap(ByteBuffer.allocate(0), out);
		}
	}

}
