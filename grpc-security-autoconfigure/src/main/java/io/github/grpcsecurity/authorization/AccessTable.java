package io.github.grpcsecurity.authorization;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;

import com.google.protobuf.MessageLite;
import io.github.grpcsecurity.authorization.AuthorizationExplanation.Decision;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

import org.springframework.context.ApplicationContext;

/**
 * A table of who may call what, for the tests of an application. It compares the table
 * with the rules, annotations and policies of the running server, which are really asked,
 * and fails on an RPC that is not in the table, so that no RPC is added without a
 * decision about who may call it. Needs no test framework.
 *
 * <pre class="code">
 * AccessTable.of(context)
 *   .caller("teller", "ROLE_TELLER")
 *     .allows("bank.Accounts/Transfer", transferOf(1_000_000))
 *     .denies("bank.Accounts/Reconcile")
 *   .anonymous()
 *     .deniesEverythingElse()
 *   .verify();
 * </pre>
 *
 * Where a decision depends on the message, the row needs one. Not thread-safe.
 *
 * @since 0.1.0
 */
public final class AccessTable {

	private final AuthorizationExplainer explainer;

	private final List<Row> rows = new ArrayList<>();

	private final List<CallDescription> restDenied = new ArrayList<>();

	private @Nullable CallDescription caller;

	private AccessTable(AuthorizationExplainer explainer) {
		this.explainer = explainer;
	}

	/**
	 * Starts a table about the server of an application.
	 * @param context the application, with its server started
	 * @return an empty table
	 */
	public static AccessTable of(ApplicationContext context) {
		return of(context.getBean(AuthorizationExplainer.class));
	}

	/**
	 * Starts a table about a server.
	 * @param explainer says what is decided there
	 * @return an empty table
	 */
	public static AccessTable of(AuthorizationExplainer explainer) {
		return new AccessTable(Objects.requireNonNull(explainer, "explainer"));
	}

	/**
	 * The rows that follow are about a caller with a token.
	 * @param principal name of the user
	 * @param authorities authorities as Spring Security has them, such as
	 * {@code ROLE_TELLER}
	 * @return this table
	 */
	public AccessTable caller(String principal, String... authorities) {
		return caller(CallDescription.user(principal, authorities));
	}

	/**
	 * The rows that follow are about callers without credentials.
	 * @return this table
	 */
	public AccessTable anonymous() {
		return caller(CallDescription.anonymous());
	}

	/**
	 * The rows that follow are about this caller.
	 * @param caller the caller, with headers and whatever else decisions depend on
	 * @return this table
	 */
	public AccessTable caller(CallDescription caller) {
		this.caller = Objects.requireNonNull(caller, "caller");
		return this;
	}

	/**
	 * The caller may call these methods, whatever the message.
	 * @param methods methods as gRPC writes them, without patterns
	 * @return this table
	 */
	public AccessTable allows(String... methods) {
		return add(Decision.ALLOWED, null, methods);
	}

	/**
	 * The caller may call a method with this message.
	 * @param method the method as gRPC writes it
	 * @param message the message
	 * @return this table
	 */
	public AccessTable allows(String method, MessageLite message) {
		return add(Decision.ALLOWED, message, method);
	}

	/**
	 * The caller may not call these methods, whatever the message.
	 * @param methods methods as gRPC writes them, without patterns
	 * @return this table
	 */
	public AccessTable denies(String... methods) {
		return add(Decision.DENIED, null, methods);
	}

	/**
	 * The caller may not call a method with this message.
	 * @param method the method as gRPC writes it
	 * @param message the message
	 * @return this table
	 */
	public AccessTable denies(String method, MessageLite message) {
		return add(Decision.DENIED, message, method);
	}

	/**
	 * The caller may not call any of the methods that no row is about for this caller. It
	 * puts no RPC into the table: one that no row names is still missed.
	 * @return this table
	 */
	public AccessTable deniesEverythingElse() {
		this.restDenied.add(current());
		return this;
	}

	private AccessTable add(Decision expected, @Nullable Object message, String... methods) {
		CallDescription call = (message != null) ? current().message(message) : current();
		for (String method : methods) {
			this.rows.add(new Row(current(), method, call, expected));
		}
		return this;
	}

	private CallDescription current() {
		if (this.caller == null) {
			throw new IllegalStateException("Say first whose calls the rows are about: caller(…) or anonymous()");
		}
		return this.caller;
	}

	/**
	 * Compares the table with what the server decides.
	 * @throws AssertionError if a decision is another one, depends on a message that the
	 * row does not have or cannot be made, as when a call would get {@code UNAVAILABLE},
	 * if a row names a method that the server does not have, or if an RPC of the server
	 * is in no row; the message lists all of these
	 */
	public void verify() {
		List<String> methods = this.explainer.methods();
		List<String> problems = new ArrayList<>();
		if (methods.isEmpty()) {
			problems.add("There is no server, or it has not started, or it has no methods");
		}
		List<Row> all = new ArrayList<>(this.rows);
		for (CallDescription denied : this.restDenied) {
			Set<String> named = named(denied);
			methods.stream()
				.filter((method) -> !named.contains(method))
				.forEach((method) -> all.add(new Row(denied, method, denied, Decision.DENIED)));
		}
		all.forEach((row) -> verify(row, problems));
		Set<String> missed = new LinkedHashSet<>(methods);
		this.rows.forEach((row) -> missed.remove(row.method()));
		missed.forEach((method) -> problems.add("The table says nothing about " + method));
		if (!problems.isEmpty()) {
			throw new AssertionError("The access table and the server disagree:" + System.lineSeparator()
					+ String.join(System.lineSeparator(), problems));
		}
	}

	private Set<String> named(CallDescription caller) {
		Set<String> named = new HashSet<>();
		this.rows.stream().filter((row) -> row.caller() == caller).forEach((row) -> named.add(row.method()));
		return named;
	}

	private void verify(Row row, List<String> problems) {
		AuthorizationExplanation explanation;
		try {
			explanation = this.explainer.explain(row.method(), row.call());
		}
		catch (IllegalArgumentException ex) {
			problems.add(row + ", but " + ex.getMessage());
			return;
		}
		if (explanation == null) {
			problems.add(row + ", but the server has no such method");
		}
		else if (explanation.status() == Status.Code.UNAVAILABLE) {
			// Refused for want of a decision, which says nothing about who may call
			problems.add(row + ", but what decides is out of order: " + describe(explanation));
		}
		else if (explanation.decision() != row.expected()) {
			problems.add(row + ", but " + describe(explanation));
		}
	}

	private static String describe(AuthorizationExplanation explanation) {
		StringBuilder text = new StringBuilder(switch (explanation.decision()) {
			case ALLOWED -> "the call is allowed";
			case DENIED -> "the call is refused with " + explanation.status();
			case NEEDS_MESSAGE -> "that depends on the message: give one in the row";
			case UNDECIDED -> "it cannot be decided";
		});
		for (AuthorizationExplanation.StatedOpinion opinion : explanation.opinions()) {
			text.append(System.lineSeparator()).append("    ").append(opinion);
		}
		return text.toString();
	}

	/**
	 * A row of the table.
	 *
	 * @param caller the caller as the table has it
	 * @param method the method
	 * @param call the call, with the message if there is one
	 * @param expected what is to be decided
	 */
	private record Row(CallDescription caller, String method, CallDescription call, Decision expected) {

		@Override
		public String toString() {
			return ((this.expected == Decision.ALLOWED) ? "Allow " : "Deny ") + this.caller + " " + this.method
					+ ((this.call.message() != null) ? " with a message" : "");
		}

	}

}
