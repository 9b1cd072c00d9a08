package io.github.grpcsecurity.authorization;

import java.util.List;
import java.util.function.Consumer;

import io.github.grpcsecurity.authorization.cel.CelConditionCompiler;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import org.junit.jupiter.api.Test;

import org.springframework.context.support.StaticApplicationContext;

import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.assertThatNoException;

/** Tests for {@link AccessTable}. */
class AccessTableTests {

	private static final EchoRequest SMALL = EchoRequest.newBuilder().setAmount(1).build();

	private static final EchoRequest LARGE = EchoRequest.newBuilder().setAmount(11).build();

	@Test
	void verifyWhenTableIsRightThenPasses() {
		verify((table) -> table.caller("teller", "ROLE_TELLER")
			.allows("testing.Echo/Unary", "testing.Echo/ServerStream")
			.allows("testing.Echo/ClientStream", SMALL)
			.denies("testing.Echo/ClientStream", LARGE)
			.denies("testing.Echo/Bidi")
			.caller("auditor", "ROLE_AUDITOR")
			.allows("testing.Echo/ServerStream")
			.deniesEverythingElse()
			.anonymous()
			.denies("testing.Echo/Unary")
			.caller(CallDescription.credential("api-key", "partner", "ROLE_TELLER"))
			.denies("testing.Echo/Unary"));
	}

	@Test
	void verifyWhenRpcIsInNoRowThenFails() {
		assertFails(
				(table) -> table.caller("teller", "ROLE_TELLER")
					.allows("testing.Echo/Unary", "testing.Echo/ServerStream")
					.denies("testing.Echo/Bidi")
					.anonymous()
					.deniesEverythingElse(),
				"The access table and the server disagree:", "The table says nothing about testing.Echo/ClientStream");
	}

	@Test
	void verifyWhenDecisionIsAnotherThenFailsAndShowsWhoDecides() {
		assertFails((table) -> all(table).denies("testing.Echo/Unary"),
				"Deny teller with jwt [ROLE_TELLER] testing.Echo/Unary, but the call is allowed",
				"    ALLOWED hasRole('TELLER') by rule 0 for testing.Echo/Unary");
		assertFails((table) -> all(table).anonymous().allows("testing.Echo/ServerStream"),
				"Allow anonymous testing.Echo/ServerStream, but the call is refused with UNAUTHENTICATED",
				"(no credentials, and denied by rule 1 for testing.Echo/ServerStream)");
		assertFails((table) -> all(table).caller("x", "ROLE_TELLER").deniesEverythingElse(),
				"Deny x with jwt [ROLE_TELLER] testing.Echo/Unary, but the call is allowed");
	}

	@Test
	void verifyWhenDecisionNeedsMessageThenRowNeedsOne() {
		assertFails((table) -> all(table).allows("testing.Echo/ClientStream"),
				"testing.Echo/ClientStream, but that depends on the message: give one in the row");
		assertFails((table) -> all(table).denies("testing.Echo/ClientStream"),
				"testing.Echo/ClientStream, but that depends on the message: give one in the row");
		assertFails((table) -> all(table).allows("testing.Echo/ClientStream", EchoReply.getDefaultInstance()),
				"with a message, but testing.Echo/ClientStream takes io.github.grpcsecurity.testing.EchoRequest");
	}

	@Test
	void verifyWhenWhatDecidesIsOutOfOrderThenFails() {
		CallPolicy broken = new CallPolicy() {
			@Override
			public String id() {
				return "broken";
			}

			@Override
			public String description() {
				return "broken";
			}

			@Override
			public Verdict check(SecuredCall call) {
				throw new IllegalStateException("out of order");
			}
		};
		AuthorizationStage stage = AuthorizationStage.builder().policies(List.of(broken)).build();
		try (TestServer server = TestServer.inProcess(new EchoService(), List.of(stage))) {
			AccessTable table = AccessTable.of(new AuthorizationExplainer(server::security))
				.anonymous()
				.denies("testing.Echo/Unary");
			assertThatExceptionOfType(AssertionError.class).isThrownBy(table::verify)
				.withMessageContaining("Deny anonymous testing.Echo/Unary, but what decides is out of order");
		}
	}

	@Test
	void verifyWhenMethodIsMisspeltThenFails() {
		assertFails((table) -> all(table).denies("testing.Echo/Unari", "testing.Echo/*"),
				"testing.Echo/Unari, but the server has no such method",
				"testing.Echo/*, but the server has no such method");
	}

	@Test
	void verifyWhenThereIsNoServerThenFails() {
		assertThatExceptionOfType(AssertionError.class)
			.isThrownBy(() -> AccessTable.of(new AuthorizationExplainer(() -> null)).verify())
			.withMessageContaining("There is no server");
	}

	@Test
	void allowsWhenNobodyWasNamedThenRefused() {
		AccessTable table = AccessTable.of(new AuthorizationExplainer(() -> null));

		assertThatIllegalStateException().isThrownBy(() -> table.allows("testing.Echo/Unary"))
			.withMessage("Say first whose calls the rows are about: caller(…) or anonymous()");
	}

	private static AccessTable all(AccessTable table) {
		return table.caller("teller", "ROLE_TELLER")
			.allows("testing.Echo/Unary", "testing.Echo/ServerStream")
			.allows("testing.Echo/ClientStream", SMALL)
			.denies("testing.Echo/Bidi");
	}

	private static void assertFails(Consumer<AccessTable> rows, String... messages) {
		assertThatExceptionOfType(AssertionError.class).isThrownBy(() -> verify(rows)).satisfies((ex) -> {
			for (String message : messages) {
				org.assertj.core.api.Assertions.assertThat(ex).hasMessageContaining(message);
			}
		});
	}

	private static void verify(Consumer<AccessTable> rows) {
		AuthorizationStage stage = AuthorizationStage.builder()
			.conditions(new CelConditionCompiler())
			.rules(List.of(
					new AuthorizationRule(
							List.of("testing.Echo/Unary"), "hasRole('TELLER')", null, null, false, true, false),
					new AuthorizationRule(List.of("testing.Echo/ServerStream"), "authenticated"),
					new AuthorizationRule(List.of("testing.Echo/ClientStream"), "hasRole('TELLER')",
							"message.amount <= 10", null, false, false, false)))
			.build();
		try (TestServer server = TestServer.inProcess(new EchoService(), List.of(stage));
				StaticApplicationContext context = new StaticApplicationContext()) {
			context.registerBean(AuthorizationExplainer.class, () -> new AuthorizationExplainer(server::security));
			context.refresh();
			AccessTable table = AccessTable.of(context);
			rows.accept(table);
			table.verify();
			assertThatNoException().isThrownBy(table::verify);
		}
	}

}
