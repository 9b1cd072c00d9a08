package io.github.grpcsecurity.ratelimit;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnknownHostException;
import java.util.List;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class RateLimitKeyTests {

	@ParameterizedTest
	@CsvSource({ "10.1.2.3, 10.1.2.3", "::ffff:10.1.2.3, 10.1.2.3", "2001:db8:1:2:3:4:5:6, 2001:db8:1:2:0:0:0:0/64",
			"2001:db8:1:2:ffff::1, 2001:db8:1:2:0:0:0:0/64", "2001:db8:1:3::1, 2001:db8:1:3:0:0:0:0/64",
			"::1, 0:0:0:0:0:0:0:0/64" })
	void peerWhenAddressIsIpThenAddressOrNetwork(String address, String key) throws UnknownHostException {
		assertThat(RateLimitKey.peer(new InetSocketAddress(InetAddress.getByName(address), 1234))).isEqualTo(key);
	}

	@Test
	void peerWhenAddressIsNoneOfIpThenHashedOrUnknown() {
		SocketAddress other = new SocketAddress() {
			@Override
			public String toString() {
				return "/run/\n{socket}";
			}
		};

		assertThat(RateLimitKey.peer(other)).matches("[0-9a-f]{32}");
		assertThat(RateLimitKey.peer(null)).isEqualTo("(unknown)");
	}

	@ParameterizedTest
	@ValueSource(strings = { "peer", "principal", "issuer", "api-key", "method", "service", "global", "call",
			"header:x-tenant" })
	void parseWhenKeyIsKnownThenPrintsAsWritten(String text) {
		assertThat(RateLimitKey.parse(text)).hasToString(text).isEqualTo(RateLimitKey.parse(text));
		assertThat(RateLimitKey.known(text)).isTrue();
		assertThat(RateLimitKey.parse(text).needsIdentity())
			.isEqualTo(List.of("principal", "issuer", "api-key").contains(text));
	}

	@ParameterizedTest
	@CsvSource({ "ip, 'there is no key'", "header:, not the name of a header", "header:x y, not the name of a header",
			"header:token-bin, binary", "Peer, there is no key" })
	void parseWhenKeyIsBadThenSentenceSaysWhy(String text, String why) {
		assertThatIllegalArgumentException().isThrownBy(() -> RateLimitKey.parse(text)).withMessageContaining(why);
	}

}
