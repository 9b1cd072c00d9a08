package io.github.grpcsecurity.authorization;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;

import io.github.grpcsecurity.authorization.AuthorizationExplanation.Decision;
import io.github.grpcsecurity.authorization.AuthorizationExplanation.StatedOpinion;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.HypotheticalCall;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.Verdict;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * Says what would be decided about a call, and by whom.
 * <p>
 * It asks the opinions in the plans that calls execute, at this moment and as the caller:
 * beans in expressions are really asked, and so is whoever a {@link CallPolicy} asks,
 * which may take up to five seconds. Nothing is counted, audited or limited. It tells
 * about authorization only: limits, validation and the handler may still refuse a call,
 * and whether credentials are good is not asked. Thread-safe.
 *
 * @since 0.1.0
 */
public final class AuthorizationExplainer {

	private static final Duration PATIENCE = Duration.ofSeconds(5);

	private final Supplier<@Nullable GrpcServerSecurity> security;

	private final Duration patience;

	/**
	 * Creates an explainer.
	 * @param security gives the security of the server; {@code null} when there is no
	 * server
	 */
	public AuthorizationExplainer(Supplier<@Nullable GrpcServerSecurity> security) {
		this(security, PATIENCE);
	}

	AuthorizationExplainer(Supplier<@Nullable GrpcServerSecurity> security, Duration patience) {
		this.security = security;
		this.patience = patience;
	}

	/**
	 * The methods that can be asked about.
	 * @return {@code package.Service/Method} of all that the server has, as far as it
	 * knows by now
	 */
	public List<String> methods() {
		GrpcServerSecurity current = this.security.get();
		return (current == null) ? List.of()
				: current.plans()
					.stream()
					.filter((plan) -> !plan.method().unknown())
					.map((plan) -> plan.method().fullName())
					.toList();
	}

	/**
	 * Explains what would be decided about a call.
	 * @param method the method as gRPC writes it, {@code package.Service/Method}
	 * @param call the call
	 * @return the explanation; {@code null} if the server has no such method
	 * @throws IllegalArgumentException if the method takes no such message
	 */
	public @Nullable AuthorizationExplanation explain(String method, CallDescription call) {
		GrpcServerSecurity current = this.security.get();
		if (current == null) {
			return null;
		}
		for (MethodPlan plan : current.plans()) {
			if (!plan.method().unknown() && plan.method().fullName().equals(method)) {
				requireFitting(plan.method().descriptor(), call.message());
				return explain(plan, call, call.describe(current.hypothetical(plan)));
			}
		}
		return null;
	}

	private static void requireFitting(MethodDescriptor<?, ?> method, @Nullable Object message) {
		if (message != null && method.getRequestMarshaller() instanceof MethodDescriptor.ReflectableMarshaller<?> known
				&& !known.getMessageClass().isInstance(message)) {
			throw new IllegalArgumentException(method.getFullMethodName() + " takes "
					+ known.getMessageClass().getName() + ", not " + message.getClass().getName());
		}
	}

	private AuthorizationExplanation explain(MethodPlan plan, CallDescription description, HypotheticalCall call) {
		AuthorizationChain chain = AuthorizationChain.of(plan);
		List<Asked> asked = new ArrayList<>();
		chain.shadows().forEach((opinion) -> asked.add(ask(opinion, true, description.message(), call)));
		chain.opinions().forEach((opinion) -> asked.add(ask(opinion, false, description.message(), call)));
		for (String other : chain.others(plan)) {
			asked.add(new Asked(new StatedOpinion("other", other, false, Decision.UNDECIDED, null,
					"another stage decides, which cannot be asked"), false));
		}
		StatedOpinion decisive = decisive(asked);
		String method = plan.method().fullName();
		List<StatedOpinion> opinions = asked.stream().map(Asked::opinion).toList();
		if (decisive == null) {
			return new AuthorizationExplanation(method, description.toString(), Decision.ALLOWED, null, null, opinions);
		}
		return new AuthorizationExplanation(method, description.toString(), decisive.decision(), decisive.status(),
				decisive.description(), opinions);
	}

	/** What is decided when a call starts comes before what is about its messages. */
	private static @Nullable StatedOpinion decisive(List<Asked> asked) {
		for (boolean late : new boolean[] { false, true }) {
			for (Asked one : asked) {
				if (!one.opinion().shadow() && one.late() == late && one.opinion().decision() == Decision.DENIED) {
					return one.opinion();
				}
			}
		}
		for (Decision decision : List.of(Decision.UNDECIDED, Decision.NEEDS_MESSAGE)) {
			for (Asked one : asked) {
				if (!one.opinion().shadow() && one.opinion().decision() == decision) {
					return one.opinion();
				}
			}
		}
		return null;
	}

	private Asked ask(Opinion opinion, boolean shadow, @Nullable Object message, HypotheticalCall call) {
		Answer answer = (opinion.callCheck() != null) ? answer(call.ask(opinion.callCheck()), call) : Answer.ALLOWED;
		boolean late = answer.decision() == Decision.ALLOWED && opinion.messageCheck() != null;
		if (late && opinion.messageCheck() != null) {
			answer = (message != null) ? answer(call.ask(opinion.messageCheck(), message), call) : Answer.NEEDS_MESSAGE;
		}
		return new Asked(new StatedOpinion(opinion.id(), opinion.description(), shadow, answer.decision(),
				answer.status(), answer.reason()), late);
	}

	private Answer answer(Verdict verdict, HypotheticalCall call) {
		if (verdict instanceof Verdict.Refuse refuse) {
			return Answer.denied(refuse.refusal());
		}
		return (verdict instanceof Verdict.Pending pending) ? await(pending, call) : Answer.ALLOWED;
	}

	private Answer await(Verdict.Pending pending, HypotheticalCall call) {
		try {
			Verdict verdict = pending.answer().toCompletableFuture().get(this.patience.toNanos(), TimeUnit.NANOSECONDS);
			return (verdict != null) ? answer(verdict, call)
					: Answer.denied(call.undecided(new NullPointerException("The answer was null")));
		}
		catch (TimeoutException ex) {
			return Answer.undecided("no answer within " + this.patience.toMillis() + " ms");
		}
		catch (ExecutionException ex) {
			Throwable cause = (ex.getCause() instanceof CompletionException wrapped && wrapped.getCause() != null)
					? wrapped.getCause() : ex.getCause();
			return Answer.denied(call.undecided((cause != null) ? cause : ex));
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
			return Answer.undecided("interrupted");
		}
	}

	/**
	 * An opinion that was asked.
	 *
	 * @param opinion what it says
	 * @param late whether it says so because of the message
	 */
	private record Asked(StatedOpinion opinion, boolean late) {
	}

	/**
	 * An answer to a question.
	 *
	 * @param decision the decision
	 * @param status the status of a refusal
	 * @param reason why
	 */
	private record Answer(Decision decision, Status.@Nullable Code status, @Nullable String reason) {

		static final Answer ALLOWED = new Answer(Decision.ALLOWED, null, null);

		static final Answer NEEDS_MESSAGE = new Answer(Decision.NEEDS_MESSAGE, null, "it depends on the message");

		static Answer denied(Refusal refusal) {
			return new Answer(Decision.DENIED, refusal.code(), refusal.reason());
		}

		static Answer undecided(String reason) {
			return new Answer(Decision.UNDECIDED, null, reason);
		}

	}

}
