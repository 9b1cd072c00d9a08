package io.github.grpcsecurity.server;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.BiConsumer;

import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/**
 * Everything that is checked when one method is called, compiled before the first call.
 * <p>
 * A plan is immutable: a change of settings compiles new plans and swaps them all at
 * once, and a call keeps the plan it started with.
 *
 * @since 0.1.0
 */
public final class MethodPlan {

	private final SecuredMethod method;

	private final Step<CallCheck>[] callSteps;

	private final Step<MessageCheck>[] messageSteps;

	private final boolean gated;

	private final boolean paced;

	private final boolean measured;

	private final Map<String, Object> details;

	private final Metadata.Key<?>[] hidden;

	private MethodPlan(Builder builder) {
		this.method = builder.method;
		this.callSteps = steps(builder.callSteps);
		this.messageSteps = steps(builder.messageSteps);
		this.gated = builder.gated;
		this.paced = builder.paced;
		this.measured = builder.measured;
		this.details = Collections.unmodifiableMap(new LinkedHashMap<>(builder.details));
		this.hidden = builder.hidden.toArray(new Metadata.Key<?>[0]);
	}

	@SuppressWarnings("unchecked")
	private static <C> Step<C>[] steps(List<Step<C>> steps) {
		return steps.toArray((Step<C>[]) new Step<?>[0]);
	}

	/**
	 * The method this plan is for.
	 * @return the method
	 */
	public SecuredMethod method() {
		return this.method;
	}

	/**
	 * The checks in the order in which they run, for people to read.
	 * @return stage and description of each check
	 */
	public List<StepDescription> describe() {
		List<StepDescription> descriptions = new ArrayList<>();
		for (Step<CallCheck> step : this.callSteps) {
			descriptions.add(new StepDescription(step.stage(), "call", step.description()));
		}
		for (Step<MessageCheck> step : this.messageSteps) {
			descriptions.add(new StepDescription(step.stage(), "message", step.description()));
		}
		return descriptions;
	}

	/**
	 * What features noted about the method while they compiled the plan, such as the
	 * audit level.
	 * @return an unmodifiable map
	 */
	public Map<String, Object> details() {
		return this.details;
	}

	Step<CallCheck>[] callSteps() {
		return this.callSteps;
	}

	Step<MessageCheck>[] messageSteps() {
		return this.messageSteps;
	}

	/** Removes what the handler must not see. */
	void hide(Metadata headers) {
		for (Metadata.Key<?> key : this.hidden) {
			headers.discardAll(key);
		}
	}

	/**
	 * Whether the handler may start only after the first message has been looked at. True
	 * as soon as authorization depends on messages: no handler runs undecided.
	 * @return whether the first message decides
	 */
	boolean gated() {
		return this.gated;
	}

	/**
	 * Whether the client's next message is asked for only when the last one has passed,
	 * however many the handler asks for.
	 * @return whether at most one message waits for its checks
	 */
	boolean paced() {
		return this.paced;
	}

	/** Whether checks want to know how large messages are. */
	boolean measured() {
		return this.measured;
	}

	@Override
	public String toString() {
		return this.method.fullName() + " " + describe();
	}

	record Step<C>(SecurityStage stage, String description, C check) {
	}

	/**
	 * One check of a plan, for people to read.
	 *
	 * @param stage where it runs
	 * @param scope {@code call} or {@code message}
	 * @param description what it checks
	 */
	public record StepDescription(SecurityStage stage, String scope, String description) {
	}

	/** Collects the checks of one method. Not thread-safe. */
	public static final class Builder {

		private final SecuredMethod method;

		private final List<Step<CallCheck>> callSteps = new ArrayList<>();

		private final List<Step<MessageCheck>> messageSteps = new ArrayList<>();

		private final Map<String, Object> details = new LinkedHashMap<>();

		private final Set<Metadata.Key<?>> hidden = new LinkedHashSet<>();

		private boolean gated;

		private boolean paced;

		private boolean measured;

		private @Nullable SecurityStage stage;

		Builder(SecuredMethod method) {
			this.method = method;
		}

		Builder at(SecurityStage stage) {
			this.stage = stage;
			return this;
		}

		/**
		 * Adds a check for the start of each call.
		 * @param description what it checks, for the startup log and the actuator
		 * @param check the check
		 * @return this builder
		 */
		public Builder check(String description, CallCheck check) {
			this.callSteps.add(new Step<>(stage(), description, Objects.requireNonNull(check, "check")));
			return this;
		}

		/**
		 * Adds a check for each message from the client. In
		 * {@link SecurityStage#AUTHORIZATION} it also holds the handler back until the
		 * first message has passed.
		 * @param description what it checks, for the startup log and the actuator
		 * @param check the check
		 * @return this builder
		 */
		public Builder checkMessages(String description, MessageCheck check) {
			this.messageSteps.add(new Step<>(stage(), description, Objects.requireNonNull(check, "check")));
			this.gated |= stage() == SecurityStage.AUTHORIZATION;
			return this;
		}

		/**
		 * Adds somebody who looks at each message from the client without a say in what
		 * becomes of it, and for whom no handler is held back; one that throws refuses
		 * the call all the same, as a check does.
		 * @param description what it looks at, for the startup log and the actuator
		 * @param watcher receives the call and the message, as a {@link MessageCheck}
		 * does
		 * @return this builder
		 */
		public Builder watchMessages(String description, BiConsumer<SecuredCall, @Nullable Object> watcher) {
			Objects.requireNonNull(watcher, "watcher");
			this.messageSteps.add(new Step<>(stage(), description, (call, message) -> {
				watcher.accept(call, message);
				return Verdict.proceed();
			}));
			return this;
		}

		/**
		 * Asks clients for one message after the other: the next one when the last has
		 * passed all checks, however many the handler asks for. For checks that let
		 * messages wait: what a client sends meanwhile stays on its side.
		 * @return this builder
		 */
		public Builder paceMessages() {
			this.paced = true;
			return this;
		}

		/**
		 * Finds out how large each message is, for checks that ask
		 * {@link SecuredCall#messageSize()}. Compressed messages are copied for that.
		 * @return this builder
		 */
		public Builder measureMessages() {
			this.measured = true;
			return this;
		}

		/**
		 * Notes something about the method that is read while calls run.
		 * @param name name of the detail
		 * @param value its value; for people and for the feature that set it
		 * @return this builder
		 */
		public Builder detail(String name, Object value) {
			this.details.put(name, value);
			return this;
		}

		/**
		 * Hides a header from the handler, and from interceptors between the pipeline and
		 * the handler. Checks see it.
		 * @param key the header
		 * @return this builder
		 */
		public Builder hide(Metadata.Key<?> key) {
			this.hidden.add(key);
			return this;
		}

		private SecurityStage stage() {
			return Objects.requireNonNull(this.stage, "stage");
		}

		MethodPlan build() {
			return new MethodPlan(this);
		}

	}

}
