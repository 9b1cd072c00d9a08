package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import io.github.grpcsecurity.proxy.ProxyHeaders;
import io.github.grpcsecurity.proxy.TrustedProxies;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status.Code;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

import static org.assertj.core.api.Assertions.assertThat;

class GrpcProxyAutoConfigurationTests {

	private final ApplicationContextRunner runner = new ApplicationContextRunner().withConfiguration(
			AutoConfigurations.of(GrpcProxyAutoConfiguration.class, GrpcSecurityAutoConfiguration.class));

	@Test
	void runWhenNothingIsConfiguredThenNobodyIsTrustedAndHeadersAreStripped() {
		this.runner.run((context) -> {
			assertThat(context.getBean(ProxyHeaders.class))
				.hasToString("ProxyHeaders[trusted=[], certificate=x-forwarded-client-cert, address=x-forwarded-for]");
			assertThat(keysSeen(context.getBean(GrpcServerSecurity.class))).doesNotContain("x-forwarded-for");
		});
	}

	@Test
	void runWhenConfiguredThenPropertiesTakeEffect() {
		this.runner
			.withPropertyValues("grpc.security.proxy.trusted=10.0.0.0/8, fd00::/8, spiffe://bank/proxy",
					"grpc.security.proxy.client-certificate-header=Client-Cert",
					"grpc.security.proxy.forwarded-for-header=x-real-ip")
			.run((context) -> assertThat(context.getBean(ProxyHeaders.class))
				.hasToString("ProxyHeaders[trusted=[10.0.0.0/8, fd00:0:0:0:0:0:0:0/8, spiffe://bank/proxy], "
						+ "certificate=client-cert, address=x-real-ip]"));
	}

	@Test
	void runWhenDisabledThenDoesNothing() {
		this.runner.withPropertyValues("grpc.security.enabled=false", "grpc.security.proxy.trusted=nonsense")
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(ProxyHeaders.class));
	}

	@Test
	void runWhenUserHasOwnThenBacksOff() {
		ProxyHeaders own = new ProxyHeaders(TrustedProxies.parse(List.of()), "x-client", "x-address");
		this.runner.withBean(ProxyHeaders.class, () -> own)
			.run((context) -> assertThat(context.getBean(ProxyHeaders.class)).isSameAs(own));
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', value = {
			"trusted | 10.0.0.1/8 | '10.0.0.1/8' cannot be trusted: the address has bits set after the first 8, so it is unclear which block is meant; name proxies by address, block or URI.",
			"trusted | proxy.example | 'proxy.example' cannot be trusted: it is neither an IP address nor a block of them such as 10.0.0.0/8 or fd00::/8; name proxies by address, block or URI.",
			"trusted | 0.0.0.0/0 | '0.0.0.0/0' cannot be trusted: it covers all addresses; name proxies by address, block or URI.",
			"client-certificate-header | no name | 'no name' is not the name of a header.",
			"client-certificate-header | x-cert-bin | The header 'x-cert-bin' cannot be used for this: it is binary, or means something else to gRPC.",
			"client-certificate-header | authorization | The header 'authorization' cannot be used for this: it is binary, or means something else to gRPC.",
			"client-certificate-header | client-cert-chain | 'client-cert-chain' has no certificate of the client: name 'client-cert', its chain comes along.",
			"client-certificate-header | x-forwarded-for | 'x-forwarded-for' has no certificate: name 'x-forwarded-client-cert' or 'client-cert'.",
			"forwarded-for-header | forwarded | The header 'forwarded' (RFC 7239) is not supported: let the proxy send 'x-forwarded-for'.",
			"forwarded-for-header | x-forwarded-client-cert | The certificate and the address of a client cannot be in one header.",
			"forwarded-for-hops | -1 | It must be 0 or more.",
			"forwarded-for-header | '' | '' is not the name of a header." }, quoteCharacter = '`')
	void runWhenValueIsBadThenFailsAndNamesTheWayOut(String property, String value, String reason) {
		this.runner.withPropertyValues("grpc.security.proxy." + property + "=" + value.replace("''", ""))
			.run((context) -> {
				Throwable failure = context.getStartupFailure();
				while (failure != null && !(failure instanceof InvalidConfigurationPropertyValueException)) {
					failure = failure.getCause();
				}
				assertThat(failure).isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
					assertThat(ex.getName()).isEqualTo("grpc.security.proxy." + property);
					assertThat(ex.getReason()).isEqualTo(reason);
				});
			});
	}

	private static List<String> keysSeen(GrpcServerSecurity security) throws Exception {
		List<String> seen = new java.util.concurrent.CopyOnWriteArrayList<>();
		EchoService service = new EchoService();
		InProcessServerBuilder builder = InProcessServerBuilder.forName("proxy-test");
		builder.intercept(new ServerInterceptor() {
			@Override
			public <Q, R> ServerCall.Listener<Q> interceptCall(ServerCall<Q, R> call, Metadata headers,
					ServerCallHandler<Q, R> next) {
				seen.addAll(headers.keys());
				return next.startCall(call, headers);
			}
		});
		security.install(builder, List.of(new SecuredService(service.bindService(), service, "echo")));
		Server server = builder.build().start();
		ManagedChannel channel = InProcessChannelBuilder.forName("proxy-test").build();
		try {
			Metadata headers = new Metadata();
			headers.put(Metadata.Key.of("x-forwarded-for", Metadata.ASCII_STRING_MARSHALLER), "6.6.6.6");
			assertThat(CallType.UNARY.call(channel, headers, "hello").code()).isEqualTo(Code.OK);
		}
		finally {
			channel.shutdownNow();
			server.shutdownNow();
		}
		assertThat(seen).isNotEmpty();
		return seen;
	}

}
