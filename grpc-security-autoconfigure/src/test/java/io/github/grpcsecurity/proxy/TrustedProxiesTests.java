package io.github.grpcsecurity.proxy;

import java.net.InetAddress;
import java.util.List;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class TrustedProxiesTests {

	@ParameterizedTest
	@CsvSource({ "10.0.0.0/8, 10.255.255.255, true", "10.0.0.0/8, 11.0.0.0, false", "10.0.0.0/8, ::a00:1, false",
			"192.0.2.4/30, 192.0.2.7, true", "192.0.2.4/30, 192.0.2.8, false", "192.0.2.1, 192.0.2.1, true",
			"192.0.2.1, 192.0.2.2, false", "192.0.2.1/32, ::ffff:192.0.2.1, true", "::ffff:192.0.2.1, 192.0.2.1, true",
			"2001:db8::/33, 2001:db8:7fff::1, true", "2001:db8::/33, 2001:db8:8000::1, false", "::1, ::1, true",
			"fd00::/8, fdff::1, true", "fd00::/8, fe00::1, false", "fd00::/8, 253.0.0.1, false" })
	void containsWhenAddressIsAskedForThenBlockDecides(String block, String address, boolean expected)
			throws Exception {
		assertThat(TrustedProxies.parse(List.of(" " + block + " ")).contains(InetAddress.getByName(address)))
			.isEqualTo(expected);
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', value = { "10.0.0.1/8 | bits set after the first 8", "0.0.0.0/0 | covers all addresses",
			"::/0 | covers all addresses", "10.0.0.0/33 | between 1 and 32", "fd00::/129 | between 1 and 128",
			"10.0.0.0/x | between 1 and 32", "10.0.0.0/ | between 1 and 32", "proxy.example | neither an IP",
			"10.1 | neither an IP", "010.0.0.1 | neither an IP", "256.0.0.1 | neither an IP",
			"fe80::1%eth0 | neither an IP", "1::2::3 | neither an IP", "'' | neither an IP", ": | neither an IP" })
	void parseWhenBlockIsBadThenSaysWhy(String block, String problem) {
		assertThatIllegalArgumentException().isThrownBy(() -> TrustedProxies.parse(List.of(block)))
			.withMessageContaining("'" + block + "' cannot be trusted: ")
			.withMessageContaining(problem);
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			value = { "198.51.100.7 | 198.51.100.7", "6.6.6.6, 198.51.100.7 | 198.51.100.7",
					"6.6.6.6, 198.51.100.7, 10.0.0.2, 10.0.0.3 | 198.51.100.7", "10.0.0.9, 10.0.0.2 | 10.0.0.9",
					"<script>, 198.51.100.7 | 198.51.100.7", "198.51.100.7:4711 | 198.51.100.7",
					"[2001:db8::7]:4711 | 2001:db8:0:0:0:0:0:7", "[2001:db8::7] | 2001:db8:0:0:0:0:0:7",
					"2001:db8::7, fd00::3 | 2001:db8:0:0:0:0:0:7", "::ffff:10.0.0.2 | 10.0.0.2",
					"198.51.100.7 , 10.0.0.2 | 198.51.100.7" })
	void clientWhenThereAreHopsThenItIsTheRightmostUntrusted(String header, String expected) throws Exception {
		TrustedProxies proxies = TrustedProxies.parse(List.of("10.0.0.0/8", "fd00::/8"));

		assertThat(ForwardedFor.client(header, proxies, 0).getHostAddress()).isEqualTo(expected);
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			value = { "'' | x", "198.51.100.7, | x", "unknown | x", "198.51.100.7, unknown | x", "localhost | x",
					"198.51.100.7:port | x", "[198.51.100.7] | x", "[::1 | x", "[::1]x | x", "1.2.3 | x",
					"junk, 10.0.0.2 | x", "fe80::1%1 | x" })
	void clientWhenHopThatCountsIsNoAddressThenIsMalformed(String header, String ignored) {
		assertThatExceptionOfType(MalformedHeaderException.class)
			.isThrownBy(() -> ForwardedFor.client(header, TrustedProxies.parse(List.of("10.0.0.0/8")), 0));
	}

	@Test
	void toStringWhenThereAreUrisThenShowsThem() {
		assertThat(TrustedProxies.parse(List.of("10.0.0.0/8", "spiffe://bank/proxy")))
			.hasToString("[10.0.0.0/8, spiffe://bank/proxy]");
	}

}
