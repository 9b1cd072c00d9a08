package io.github.grpcsecurity.tls;

import java.time.Duration;
import java.util.List;

import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

class TlsSettingsTests {

	private static final String PROTOCOLS = "Set grpc.security.tls.protocols to TLSv1.3, or to TLSv1.3 and TLSv1.2.";

	@Test
	void createWhenProtocolIsUnknownThenFails() {
		assertFails(List.of("TLSv1.4"), List.of(),
				"grpc.security.tls.protocols has 'TLSv1.4', which is no version of TLS.", PROTOCOLS);
	}

	@Test
	void createWhenProtocolIsBrokenThenFails() {
		assertFails(List.of("TLSv1.3", "TLSv1.1"), List.of(),
				"grpc.security.tls.protocols has 'TLSv1.1', which is broken and not offered.", PROTOCOLS);
	}

	@Test
	void createWhenThereIsNoProtocolThenFails() {
		assertFails(List.of(), List.of(), "grpc.security.tls.protocols is empty.", PROTOCOLS);
	}

	@Test
	void createWhenCipherIsUnknownThenFails() {
		assertFails(List.of("TLSv1.3"), List.of("TLS_AES_512"),
				"grpc.security.tls.ciphers has 'TLS_AES_512', which is no cipher suite that Java knows.",
				"Use Java's names, such as TLS_AES_256_GCM_SHA384, or leave the property out.");
	}

	@Test
	void createWhenCipherIsUnsafeThenFails() {
		assertFails(List.of("TLSv1.2"), List.of("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
				"grpc.security.tls.ciphers has 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256', which HTTP/2 forbids.",
				"Use suites of TLS 1.3, or suites with ECDHE and GCM or CHACHA20 for TLS 1.2.");
	}

	@Test
	void createWhenProtocolHasNoCipherThenFails() {
		assertFails(List.of("TLSv1.3", "TLSv1.2"), List.of("TLS_AES_128_GCM_SHA256"),
				"grpc.security.tls.ciphers has no cipher suite for TLSv1.2.",
				"Add one, or take TLSv1.2 out of grpc.security.tls.protocols.");
	}

	@Test
	void createWhenHandshakeTimeoutIsZeroThenFails() {
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> new TlsSettings(ClientAuth.NONE, List.of("TLSv1.3"), List.of(), Duration.ZERO))
			.withMessage("grpc.security.tls.handshake-timeout is 'PT0S', so that no client could ever connect.");
	}

	private static void assertFails(List<String> protocols, List<String> ciphers, String message, String wayOut) {
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> new TlsSettings(ClientAuth.NONE, protocols, ciphers, Duration.ofSeconds(10)))
			.withMessage(message)
			.satisfies((ex) -> assertThat(ex.wayOut()).isEqualTo(wayOut));
	}

}
