package io.github.grpcsecurity.tls;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

import io.grpc.Attributes;
import io.grpc.alts.AltsContext;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatNoException;

class AltsTransportTests {

	@TempDir
	Path directory;

	@ParameterizedTest
	@ValueSource(strings = { "Google\n", "Google Compute Engine\n" })
	void onGoogleCloudWhenFirmwareSaysSoThenThereIsATransport(String name) throws IOException {
		assertThatNoException().isThrownBy(() -> AltsTransport.onGoogleCloud(product(name)));
	}

	@ParameterizedTest
	@ValueSource(strings = { "", "KVM", "Googleplex", "Not Google" })
	void onGoogleCloudWhenFirmwareSaysOtherwiseThenFails(String name) throws IOException {
		assertFails(product(name));
	}

	@Test
	void onGoogleCloudWhenThereIsNoFirmwareThenFails() {
		assertFails(this.directory.resolve("missing"));
	}

	private void assertFails(Path product) {
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> AltsTransport.onGoogleCloud(product))
			.withMessage("grpc.security.transport is 'alts', but this is no Linux machine of Google Cloud (" + product
					+ " does not say so), and ALTS works nowhere else.")
			.satisfies((ex) -> assertThat(ex.wayOut()).isEqualTo(
					"Run the server on Google Cloud. Elsewhere, remove grpc.security.transport and set up TLS with "
							+ "grpc.security.tls.*."));
	}

	private Path product(String name) throws IOException {
		return Files.writeString(this.directory.resolve("product_name"), name);
	}

	@Test
	void peerWhenContextNamesServiceAccountThenItIsTheIdentity() {
		AltsPeer peer = AltsPeer.of(AltsContext.createTestInstance("peer@bank", "local@bank"));

		assertThat(peer).isEqualTo(new AltsPeer("peer@bank"));
		assertThat(peer.identity()).isEqualTo("alts:peer@bank");
	}

	@Test
	void peerWhenContextNamesNobodyThenThereIsNone() {
		assertThat(AltsPeer.of(AltsContext.createTestInstance("", "local@bank"))).isNull();
	}

	@Test
	void peerWhenConnectionSpeaksSomethingElseThenThereIsNone() {
		assertThat(AltsPeer.of(Attributes.EMPTY)).isNull();
	}

}
