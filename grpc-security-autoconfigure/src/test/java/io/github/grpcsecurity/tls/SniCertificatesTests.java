package io.github.grpcsecurity.tls;

import java.time.InstantSource;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import io.github.grpcsecurity.testing.TestCertificates;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

class SniCertificatesTests {

	private static final TlsCredentials CREDENTIALS = credentials();

	private static TlsCredentials credentials() {
		TestCertificates certificates = TestCertificates.create();
		TlsMaterial material = new TlsMaterial("test", certificates.server().getKeyPair().getPrivate(),
				List.of(certificates.server().getCertificatePath()), List.of());
		return new TlsCredentials(() -> material, ClientAuth.NONE, InstantSource.system());
	}

	@ParameterizedTest
	@CsvSource({ "api.bank.example,1", "API.Bank.Example,1", "api.bank.example.,1", "other.bank.example,0",
			"a.b.bank.example,-1", "bank.example,-1", ".bank.example,-1", "api.bank.example.org,-1", "localhost,2",
			"*.bank.example,0", "example,-1" })
	void findWhenHostIsAskedForThenNameGoesBeforePattern(String host, int expected) {
		Map<String, TlsCredentials> hosts = new LinkedHashMap<>();
		hosts.put("*.Bank.example", CREDENTIALS);
		hosts.put("api.bank.example", CREDENTIALS);
		hosts.put("localhost", CREDENTIALS);

		assertThat(new SniCertificates(hosts).find(host)).isEqualTo(expected);
	}

	@ParameterizedTest
	@ValueSource(strings = { "", " ", "*", "*.", "*.*.example", "api.*.example", "a*.example", "http://bank.example",
			"bank.example:443", "127.0.0.1", "::1", "-a.example", "a..example", "bank.example/", "bänk.example" })
	void createWhenHostIsNoneThenFails(String host) {
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> new SniCertificates(Map.of(host, CREDENTIALS)))
			.withMessage("grpc.security.tls.sni has the host '" + host + "', which no client can ask for.");
	}

	@Test
	void createWhenHostAppearsTwiceThenFails() {
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> new SniCertificates(Map.of("bank.example", CREDENTIALS, "Bank.example", CREDENTIALS)))
			.withMessageMatching("grpc.security.tls.sni names the host '[bB]ank.example' twice.");
	}

}
