package io.github.grpcsecurity.authorization.opa;

import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;
import java.util.regex.Pattern;

import javax.net.ssl.SSLContext;

import com.google.protobuf.InvalidProtocolBufferException;
import io.github.grpcsecurity.authorization.CallPolicy;
import io.github.grpcsecurity.authorization.opa.OpaObserver.Outcome;
import io.github.grpcsecurity.remote.RemoteHttp;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.Verdict;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.core.io.Resource;
import org.springframework.util.Assert;
import org.springframework.util.StringUtils;

/**
 * Asks an Open Policy Agent whether calls are allowed, over its Data API.
 * <p>
 * The question has the shape of opa-envoy-plugin's, so that policies written for it run
 * as they are. Only {@code true}, or an object whose {@code allowed} is {@code true},
 * allows; what is no decision refuses with {@code PERMISSION_DENIED}. Where OPA cannot be
 * asked, in time, calls are refused with {@code UNAVAILABLE}, unless they are to pass. No
 * thread waits for an answer: until it is there, no handler has started.
 * <p>
 * Policies that look at messages are asked for every message, in all four call types,
 * before the handler sees it. Of a decision, nothing reaches the caller but the status.
 *
 * @since 0.1.0
 */
public final class OpaPolicy implements CallPolicy {

	/** Name of the note that finds the decision in OPA's own log. */
	public static final String DECISION_ID_NOTE = "opa.decision_id";

	/** Name of the note with what came of asking. */
	public static final String OUTCOME_NOTE = "opa.outcome";

	/** Name of the note with what would have come of it. */
	public static final String SHADOW_NOTE = "opa.shadow_decision";

	/** The limit that a refusal names whose policy wants status 429. */
	private static final String QUOTA = "opa";

	private static final String PROPERTY = "grpc.security.authorization.opa";

	private static final Log logger = LogFactory.getLog(OpaPolicy.class);

	private static final Pattern PATH = Pattern.compile("[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*");

	/** Have access settings of their own: only patterns that spell them out count. */
	private static final Set<String> BY_NAME = Set.of("grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
			"grpc.reflection.v1alpha.ServerReflection");

	private final String path;

	private final URI uri;

	private final List<MethodPattern> methods;

	private final boolean shadow;

	private final boolean allowOnFailure;

	private final boolean forwardCredentials;

	private final @Nullable MessageJson messages;

	private final OpaInput input;

	private final OpaClient client;

	private final @Nullable AnswerCache cache;

	private final List<OpaObserver> observers;

	private final RareLog failures;

	private final AtomicBoolean announced = new AtomicBoolean();

	private final Verdict unauthenticated;

	private final Verdict accessDenied;

	private final Verdict notFound;

	private final Verdict overLimit;

	private final Verdict tooLarge;

	private final Verdict unreadable;

	private OpaPolicy(Builder builder) {
		this.path = builder.path;
		this.uri = builder.uri;
		this.methods = List.copyOf(builder.methods);
		this.shadow = builder.shadow;
		this.allowOnFailure = builder.allowOnFailure;
		this.forwardCredentials = builder.forwardCredentials;
		this.messages = builder.includeMessage ? new MessageJson(builder.maxMessageSize) : null;
		this.input = new OpaInput(builder.forwardCredentials ? Set.of() : Set.copyOf(builder.credentialHeaders),
				builder.includeCertificate, !builder.cacheTtl.isZero());
		InstantSource clock = builder.clock;
		this.client = new OpaClient(builder.dataUri(), builder.executor, builder.timeout, builder.maxConcurrent,
				(builder.tokenFile != null) ? new TokenFile(builder.tokenFile, clock) : null, builder.tls,
				() -> nanos(clock));
		this.cache = builder.cacheTtl.isZero() ? null : new AnswerCache(builder.cacheTtl, () -> nanos(clock));
		this.observers = List.copyOf(builder.observers);
		this.failures = new RareLog(logger, () -> nanos(clock));
		String by = "OPA's " + this.path;
		this.unauthenticated = Verdict.refuse(Refusal.unauthenticated("no credentials, and denied by " + by));
		this.accessDenied = Verdict.refuse(Refusal.accessDenied("denied by " + by));
		this.notFound = Verdict.refuse(Refusal.notFound("denied by " + by));
		this.overLimit = Verdict.refuse(Refusal.overLimit(QUOTA, null));
		this.tooLarge = Verdict.refuse(Refusal.tooLarge("the message is too large to ask OPA about"));
		this.unreadable = Verdict.refuse(Refusal.accessDenied("OPA cannot be shown the message as JSON"));
	}

	private static long nanos(InstantSource clock) {
		Instant now = clock.instant();
		return now.getEpochSecond() * 1_000_000_000L + now.getNano();
	}

	/**
	 * Starts to describe whom to ask.
	 * @param url where OPA listens, HTTPS unless on loopback, without {@code /v1/data}
	 * @param executor sends the questions; it must not queue
	 * @return a builder
	 * @throws IllegalArgumentException if nothing should be sent there
	 */
	public static Builder builder(URI url, Executor executor) {
		return new Builder(url, executor);
	}

	@Override
	public String id() {
		return "opa";
	}

	@Override
	public String description() {
		return (this.shadow ? "shadow: " : "") + "OPA's " + this.path + " at " + this.uri
				+ ((this.messages != null) ? ", asked about each message" : "")
				+ (this.allowOnFailure ? ", passed over if it cannot be asked" : "");
	}

	@Override
	public boolean applies(SecuredMethod method) {
		return this.methods.stream().anyMatch((pattern) -> matches(pattern, method));
	}

	private static boolean matches(MethodPattern pattern, SecuredMethod method) {
		return pattern.matches(method) && (!BY_NAME.contains(method.serviceName())
				|| pattern.toString().startsWith(method.serviceName() + "/"));
	}

	@Override
	public boolean decides(SecuredMethod method) {
		return !this.shadow;
	}

	@Override
	public boolean looksAtMessages() {
		return this.messages != null;
	}

	@Override
	public boolean asksOthers() {
		return true;
	}

	@Override
	public void planned(Collection<SecuredMethod> methods) {
		for (int i = 0; i < this.methods.size(); i++) {
			MethodPattern pattern = this.methods.get(i);
			if (!pattern.toString().equals("**") && methods.stream().noneMatch((method) -> matches(pattern, method))) {
				throw new InvalidConfigurationPropertyValueException(PROPERTY + ".methods[" + i + "]", pattern,
						"It matches no method of this server, so OPA would be asked about nothing. The methods are "
								+ String.join(", ", methods.stream().map(SecuredMethod::fullName).toList()) + ".");
			}
		}
		if (this.messages != null) {
			for (SecuredMethod method : methods) {
				if (applies(method) && !MessageJson.writes(method.descriptor())) {
					throw new InvalidConfigurationPropertyValueException(PROPERTY + ".include-message", true,
							"The messages of " + method.fullName() + " are no protobuf messages that can be written as"
									+ " JSON. Leave the method out of " + PROPERTY + ".methods.");
				}
			}
		}
		if (this.announced.compareAndSet(false, true)) {
			announce();
		}
	}

	private void announce() {
		if (this.allowOnFailure && !this.shadow) {
			logger.warn("Calls pass without OPA having been asked whenever it cannot be (" + PROPERTY
					+ ".on-failure=allow): who keeps it from answering is let in");
		}
		if (this.forwardCredentials) {
			logger.warn("OPA gets the callers' tokens, keys and cookies, and may log them (" + PROPERTY
					+ ".forward-credentials=true)");
		}
		if (this.shadow) {
			logger.warn("OPA is asked but refuses nothing (" + PROPERTY + ".mode=shadow)");
		}
	}

	/**
	 * Speaks HTTPS with other trust and keys from now on.
	 * @param tls the context
	 */
	public void tls(SSLContext tls) {
		this.client.tls(tls);
	}

	@Override
	public Verdict check(SecuredCall call) {
		if (watchesOnly(call)) {
			return Verdict.proceed();
		}
		return guarded(call, () -> decide(call, OpaInput.NO_BODY));
	}

	@Override
	public Verdict check(SecuredCall call, @Nullable Object message) {
		MessageJson json = this.messages;
		if (message == null || json == null) {
			return check(call);
		}
		if (watchesOnly(call)) {
			return Verdict.proceed();
		}
		if (json.tooLarge(message)) {
			return noQuestion(call, this.tooLarge);
		}
		String body;
		try {
			body = json.write(message);
		}
		catch (InvalidProtocolBufferException | RuntimeException ex) {
			logger.debug("A message cannot be written as JSON", ex);
			return noQuestion(call, this.unreadable);
		}
		return guarded(call, () -> decide(call, body));
	}

	/** To a call that is never made, a policy in the shadow has nothing to say. */
	private boolean watchesOnly(SecuredCall call) {
		return this.shadow && call.hypothetical();
	}

	/** Whatever fails, a policy in the shadow is never in the way of a call. */
	private Verdict guarded(SecuredCall call, Supplier<Verdict> decision) {
		try {
			return decision.get();
		}
		catch (RuntimeException ex) {
			if (!this.shadow) {
				throw ex;
			}
			logger.debug("OPA could not be asked about call " + call.id(), ex);
			return Verdict.proceed();
		}
	}

	/** Nobody can be asked about this message, so that it is refused. */
	private Verdict noQuestion(SecuredCall call, Verdict verdict) {
		call.note(this.shadow ? SHADOW_NOTE : OUTCOME_NOTE, text(Outcome.NO_DECISION));
		tell(call, Outcome.NO_DECISION, false, Duration.ZERO);
		return this.shadow ? Verdict.proceed() : verdict;
	}

	private Verdict decide(SecuredCall call, String body) {
		long start = System.nanoTime();
		// Here and now: the headers are not to be read when the answer comes
		byte[] question = this.input.write(call, body);
		boolean known = !call.anonymous() || call.peerIdentity() != null;
		// Calls that are never made leave nothing behind for others
		AnswerCache remembering = call.hypothetical() ? null : this.cache;
		AnswerCache.Known asked = (remembering != null) ? remembering.ask(question, this.client::ask)
				: new AnswerCache.Known(this.client.ask(question), false);
		CompletableFuture<Verdict> verdict = asked.answer().thenApply((answer) -> {
			note(call, answer);
			tell(call, answer.outcome(), asked.remembered(), Duration.ofNanos(System.nanoTime() - start));
			return this.shadow ? Verdict.proceed() : verdict(answer, known);
		});
		if (this.shadow) {
			return Verdict.proceed();
		}
		return verdict.isDone() ? verdict.join() : Verdict.pending(verdict);
	}

	private void note(SecuredCall call, OpaAnswer answer) {
		call.note(this.shadow ? SHADOW_NOTE : OUTCOME_NOTE, text(answer.outcome()));
		if (answer.decisionId() != null) {
			call.note(DECISION_ID_NOTE, answer.decisionId());
		}
	}

	private static String text(Outcome outcome) {
		return outcome.name().toLowerCase(Locale.ROOT);
	}

	private void tell(SecuredCall call, Outcome outcome, boolean remembered, Duration elapsed) {
		if (call.hypothetical()) {
			return;
		}
		for (OpaObserver observer : this.observers) {
			try {
				observer.answered(outcome, this.shadow, remembered, elapsed);
			}
			catch (RuntimeException ex) {
				logger.debug("An observer of OPA's answers failed", ex);
			}
		}
	}

	private Verdict verdict(OpaAnswer answer, boolean known) {
		return switch (answer.outcome()) {
			case ALLOW -> Verdict.proceed();
			case DENY -> denied(answer.httpStatus(), known);
			case NO_DECISION -> {
				this.failures.warn("OPA's " + this.path + " gave no decision: " + answer.detail());
				yield Verdict
					.refuse(Refusal.accessDenied("OPA's " + this.path + " gave no decision: " + answer.detail()));
			}
			case FAILURE -> failed(answer);
		};
	}

	private Verdict denied(int httpStatus, boolean known) {
		return switch (httpStatus) {
			case 0 -> known ? this.accessDenied : this.unauthenticated;
			case 401 -> this.unauthenticated;
			case 404 -> this.notFound;
			case 429 -> this.overLimit;
			default -> this.accessDenied;
		};
	}

	private Verdict failed(OpaAnswer answer) {
		// Nobody may get in by asking for what makes the policy fail
		boolean allowed = this.allowOnFailure && !answer.turnedDown();
		this.failures.warn("OPA could not be asked: " + answer.detail() + ". "
				+ (allowed ? "Calls pass without it" : "Calls are refused with UNAVAILABLE"));
		return allowed ? Verdict.proceed()
				: Verdict.refuse(Refusal.unavailable("OPA could not be asked: " + answer.detail()));
	}

	@Override
	public String toString() {
		return description();
	}

	/** Collects how OPA is asked. Not thread-safe. */
	public static final class Builder {

		private final URI uri;

		private final Executor executor;

		private String path = "envoy/authz/allow";

		private Duration timeout = Duration.ofMillis(100);

		private Duration cacheTtl = Duration.ZERO;

		private int maxConcurrent = 256;

		private int maxMessageSize = 1024 * 1024;

		private boolean includeMessage;

		private boolean includeCertificate;

		private boolean forwardCredentials;

		private boolean allowOnFailure;

		private boolean shadow;

		private List<MethodPattern> methods = List.of(MethodPattern.parse("**"));

		private final Set<String> credentialHeaders = new HashSet<>(
				Set.of("authorization", "proxy-authorization", "cookie"));

		private @Nullable Resource tokenFile;

		private @Nullable SSLContext tls;

		private List<OpaObserver> observers = List.of();

		private InstantSource clock = InstantSource.system();

		private Builder(URI uri, Executor executor) {
			RemoteHttp.requireSecure(uri);
			Assert.isTrue(uri.getRawQuery() == null && uri.getRawFragment() == null,
					"there is a query or a fragment in it");
			this.uri = uri;
			this.executor = executor;
		}

		private URI dataUri() {
			return URI.create(StringUtils.trimTrailingCharacter(this.uri.toString(), '/') + "/v1/data/" + this.path);
		}

		/**
		 * Sets which rule decides.
		 * @param path package and rule with slashes in between; {@code envoy/authz/allow}
		 * unless set
		 * @return this builder
		 */
		public Builder path(String path) {
			Assert.isTrue(PATH.matcher(path).matches(),
					"it is not a package and a rule with slashes in between, such as envoy/authz/allow");
			this.path = path;
			return this;
		}

		/**
		 * Sets how long an answer may take.
		 * @param timeout more than zero, one minute at most; 100 ms unless set
		 * @return this builder
		 */
		public Builder timeout(Duration timeout) {
			Assert.isTrue(timeout.toMillis() > 0, "it must be more than zero");
			Assert.isTrue(timeout.compareTo(Duration.ofMinutes(1)) <= 0, "calls would wait for more than a minute");
			this.timeout = timeout;
			return this;
		}

		/**
		 * Sets for how long a decision is remembered.
		 * @param cacheTtl zero, which is the default, to ask each time. With more, the
		 * question leaves out what makes each call unlike all others, such as its time.
		 * @return this builder
		 */
		public Builder cacheTtl(Duration cacheTtl) {
			Assert.isTrue(!cacheTtl.isNegative(), "it must not be negative");
			this.cacheTtl = cacheTtl;
			return this;
		}

		/**
		 * Sets how many answers may be outstanding; calls beyond are as those for which
		 * OPA cannot be asked.
		 * @param maxConcurrent more than zero; 256 unless set
		 * @return this builder
		 */
		public Builder maxConcurrent(int maxConcurrent) {
			Assert.isTrue(maxConcurrent > 0, "it must be more than zero");
			this.maxConcurrent = maxConcurrent;
			return this;
		}

		/**
		 * Sets whether OPA is asked about each message, and sees it.
		 * @param includeMessage {@code false} unless set
		 * @return this builder
		 */
		public Builder includeMessage(boolean includeMessage) {
			this.includeMessage = includeMessage;
			return this;
		}

		/**
		 * Sets how large a message may be that OPA is asked about.
		 * @param maxMessageSize its size as protobuf, in bytes; larger ones are refused
		 * @return this builder
		 */
		public Builder maxMessageSize(int maxMessageSize) {
			Assert.isTrue(maxMessageSize > 0, "it must be more than zero");
			this.maxMessageSize = maxMessageSize;
			return this;
		}

		/**
		 * Sets whether OPA sees the certificate of the peer, as
		 * {@code source.certificate}.
		 * @param includeCertificate {@code false} unless set
		 * @return this builder
		 */
		public Builder includeCertificate(boolean includeCertificate) {
			this.includeCertificate = includeCertificate;
			return this;
		}

		/**
		 * Sets whether OPA sees the headers with credentials.
		 * @param forwardCredentials {@code false} unless set
		 * @return this builder
		 */
		public Builder forwardCredentials(boolean forwardCredentials) {
			this.forwardCredentials = forwardCredentials;
			return this;
		}

		/**
		 * Names one more header that holds credentials, beside {@code authorization},
		 * {@code proxy-authorization} and {@code cookie}.
		 * @param header its name
		 * @return this builder
		 */
		public Builder credentialHeader(String header) {
			this.credentialHeaders.add(OpaInput.lowerCase(header));
			return this;
		}

		/**
		 * Sets whether calls pass for which OPA cannot be asked.
		 * @param allowOnFailure {@code false} unless set
		 * @return this builder
		 */
		public Builder allowOnFailure(boolean allowOnFailure) {
			this.allowOnFailure = allowOnFailure;
			return this;
		}

		/**
		 * Sets whether OPA is only watched.
		 * @param shadow whether nothing is made of its answers
		 * @return this builder
		 */
		public Builder shadow(boolean shadow) {
			this.shadow = shadow;
			return this;
		}

		/**
		 * Sets which methods OPA is asked about.
		 * @param methods patterns; all but health checks and reflection unless set. Those
		 * two count only where a pattern spells out their service.
		 * @return this builder
		 */
		public Builder methods(Collection<MethodPattern> methods) {
			Assert.notEmpty(methods, "there is no pattern");
			this.methods = List.copyOf(methods);
			return this;
		}

		/**
		 * Sets where the token is by which OPA knows this server.
		 * @param tokenFile a file with nothing but the token; read again within a second
		 * @return this builder
		 */
		public Builder tokenFile(@Nullable Resource tokenFile) {
			this.tokenFile = tokenFile;
			return this;
		}

		/**
		 * Sets what HTTPS is spoken with.
		 * @param tls the context; the platform's unless set
		 * @return this builder
		 */
		public Builder tls(@Nullable SSLContext tls) {
			this.tls = tls;
			return this;
		}

		/**
		 * Sets who learns of answers.
		 * @param observers the observers
		 * @return this builder
		 */
		public Builder observers(Collection<? extends OpaObserver> observers) {
			this.observers = List.copyOf(observers);
			return this;
		}

		/**
		 * Sets the clock of everything that lasts for a while.
		 * @param clock the clock; the system's unless set
		 * @return this builder
		 */
		public Builder clock(InstantSource clock) {
			this.clock = clock;
			return this;
		}

		/**
		 * Puts everything together.
		 * @return the policy
		 * @throws IllegalArgumentException if there is no token in its file
		 */
		public OpaPolicy build() {
			return new OpaPolicy(this);
		}

	}

}
