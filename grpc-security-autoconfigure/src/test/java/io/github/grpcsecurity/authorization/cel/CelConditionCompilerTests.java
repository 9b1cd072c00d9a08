package io.github.grpcsecurity.authorization.cel;

import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.stream.IntStream;

import io.github.grpcsecurity.authorization.InvalidConditionException;
import io.github.grpcsecurity.authorization.RuleCondition;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.grpc.MethodDescriptor;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.protobuf.lite.ProtoLiteUtils;
import org.apache.commons.logging.LogFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/**
 * Tests for {@link CelConditionCompiler}: what it takes, and what it says about the rest.
 */
class CelConditionCompilerTests {

	private final CelConditionCompiler compiler = new CelConditionCompiler();

	@ParameterizedTest
	@ValueSource(strings = { "message.amount <= 1000 || 'ROLE_TELLER' in auth.authorities", "auth.claims.admin",
			"has(auth.claims.tenant) && auth.claims.tenant == message.text", "'accounts.write' in auth.scopes",
			"auth.principal == 'alice' && auth.kind == 'jwt' && auth.issuer == 'https://idp.example'",
			"grpc.service == 'testing.Echo' && grpc.method == 'Unary' && grpc.type == 'unary'",
			"request.headers['x-tenant'] == 'a' && request.time.getHours('Europe/Berlin') < 18",
			"request.path == '/testing.Echo/Unary' && request.host.startsWith('api.')",
			"grpc.deadline - request.time < duration('10s')", "source.address == '10.0.0.1' && source.port > 0",
			"connection.mtls && connection.tls_version == 'TLSv1.3' && connection.requested_server_name != ''",
			"connection.uri_san_peer_certificate.startsWith('spiffe://bank/')",
			"connection.dns_san_peer_certificate == 'a' || connection.subject_peer_certificate == 'b'",
			"connection.sha256_peer_certificate_digest == 'abc'", "message.tags.all(t, t.matches('^[a-z]+$'))",
			"inRange(source.address, '10.0.0.0/8') || !inRange(source.address, 'fd00::/8')",
			"message.tags.exists(t, t in ['a']) && -message.amount < 1 && size(message.text) > 0 ? true : false",
			"request.time > timestamp('2026-01-01T00:00:00Z') && request.time.getDayOfWeek('UTC') in [1, 2]",
			"type(message.text) == string" })
	void compileWhenConditionIsGoodThenCompiled(String condition) {
		assertThat(this.compiler.compile(condition, EchoGrpc.getUnaryMethod())).isNotNull();
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '`', value = {
			"message.amout <= 1|It does not fit testing.Echo/Unary: undefined field 'amout' (line 1, column 8). The fields of testing.EchoRequest are text, amount, tags.",
			"auth.princpal == 'a'|It does not fit testing.Echo/Unary: undeclared reference to 'auth' (in container '') (line 1, column 1). There are auth.principal,",
			"message.text > 5|no matching overload for '_>_'",
			"message.amount|It says int, but a condition says true or false.", "'a'|It says string, but a condition",
			"message.text ==|It is not a condition in CEL: ", "`  `|It is empty.",
			"nope(1)|undeclared reference to 'nope'",
			"inRange(source.address, auth.principal)|It compares an address with a block that is not written out.",
			"inRange(source.address, '10.0.0.1/8')|'10.0.0.1/8' is no block of addresses: the address has bits set",
			"inRange(source.address, '0.0.0.0/0')|'0.0.0.0/0' is no block of addresses: it covers all addresses.",
			"inRange(source.address)|no matching overload for 'inRange'",
			"message.text.matches(auth.principal)|It matches against a pattern that is not written out.",
			"message.text.matches('(a')|The pattern '(a' is not a regular expression of RE2: missing closing ).",
			"message.text.matches('(a{1000}){11}')|compiles to more than 10000 instructions",
			"((((((((((((((((((((((((((((((((((((true))))))))))))))))))))))))))))))))))))|recursion limit" })
	void compileWhenConditionIsBadThenSaysWhy(String condition, String reason) {
		assertThatExceptionOfType(InvalidConditionException.class)
			.isThrownBy(() -> this.compiler.compile(condition, EchoGrpc.getUnaryMethod()))
			.withMessageContaining(reason);
	}

	@Test
	void compileWhenThereAreThousandConditionsThenFast() {
		long start = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
		for (int i = 0; i < 1000; i++) {
			String condition = "message.text != '" + i + "' || 'ROLE_" + i + "' in auth.authorities";
			this.compiler.check(condition);
			this.compiler.compile(condition, EchoGrpc.getUnaryMethod());
			// All methods with this message share what was compiled
			assertThat(this.compiler.compile(condition, EchoGrpc.getBidiMethod()))
				.isSameAs(this.compiler.compile(condition, EchoGrpc.getUnaryMethod()));
		}

		// Of this thread, so that a busy machine matters little
		Duration spent = Duration.ofNanos(ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - start);
		assertThat(spent).as("%s", spent).isLessThan(Duration.ofSeconds(4));
		LogFactory.getLog(getClass()).info("1,000 conditions were compiled in " + spent);
	}

	@Test
	void checkWhenConditionIsLongerThanFourKibibytesThenRefused() {
		String condition = "true || auth.principal == '" + "ä".repeat(2040) + "'";

		assertThatExceptionOfType(InvalidConditionException.class).isThrownBy(() -> this.compiler.check(condition))
			.withMessage("It is longer than 4 KiB. Decide in a bean that access refers to.");
		this.compiler.check("auth.principal == '" + "a".repeat(4000) + "'");
	}

	@Test
	void compileWhenMethodHasNoDescriptorThenMessageIsRefusedWithTheWayOut() {
		MethodDescriptor<?, ?> method = MethodDescriptor.<String, String>newBuilder()
			.setType(MethodDescriptor.MethodType.UNARY)
			.setFullMethodName("plain.Text/Send")
			.setRequestMarshaller(new Text())
			.setResponseMarshaller(new Text())
			.build();

		assertThat(this.compiler.compile("auth.principal == 'alice'", method).looksAtMessages()).isFalse();
		assertThatExceptionOfType(InvalidConditionException.class)
			.isThrownBy(() -> this.compiler.compile("message.amount < 1", method))
			.withMessage("It looks at the message, but plain.Text/Send has no descriptor that tells what is in its"
					+ " messages. Remove 'message' from the condition, or write @PreAuthorize with #request on the"
					+ " method.");
	}

	@Test
	void compileWhenMethodsHaveOtherTypesThenCompiledForEach() {
		assertThat(this.compiler.compile("message.service == 'a'", HealthGrpc.getCheckMethod()).looksAtMessages())
			.isTrue();
		assertThatExceptionOfType(InvalidConditionException.class)
			.isThrownBy(() -> this.compiler.compile("message.service == 'a'", EchoGrpc.getBidiMethod()))
			.withMessageStartingWith("It does not fit testing.Echo/Bidi: undefined field 'service'");
	}

	@Test
	void compileWhenOnlyMarshallerTellsTheTypeThenItIsUsed() {
		MethodDescriptor<?, ?> method = EchoGrpc.getUnaryMethod()
			.toBuilder()
			.setSchemaDescriptor(null)
			.setRequestMarshaller(
					ProtoLiteUtils.marshaller(io.github.grpcsecurity.testing.EchoRequest.getDefaultInstance()))
			.build();

		assertThat(this.compiler.compile("message.amount < 1", method).looksAtMessages()).isTrue();
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '`',
			value = { "auth.principal == 'a'|false", "message.amount < 1|true",
					"auth.principal == 'a' && message.amount < 1|true", "'message' in auth.scopes|false",
					"auth.scopes.exists(message, message == 'a')|true" })
	void looksAtMessagesWhenConditionNamesMessageThenTrue(String condition, boolean looks) {
		RuleCondition compiled = this.compiler.compile(condition, EchoGrpc.getUnaryMethod());

		assertThat(compiled.looksAtMessages()).isEqualTo(looks);
	}

	@Test
	void compileWhenManyAlternativesThenDepthDoesNotGrow() {
		String condition = String.join(" || ",
				IntStream.range(0, 100).mapToObj((i) -> "message.amount == " + i).toList());

		assertThat(this.compiler.compile(condition, EchoGrpc.getUnaryMethod())).isNotNull();
	}

	private static final class Text implements MethodDescriptor.Marshaller<String> {

		@Override
		public java.io.InputStream stream(String value) {
			return new java.io.ByteArrayInputStream(new byte[0]);
		}

		@Override
		public String parse(java.io.InputStream stream) {
			return "";
		}

	}

}
