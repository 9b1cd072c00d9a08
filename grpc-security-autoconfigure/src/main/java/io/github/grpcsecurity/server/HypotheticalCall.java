package io.github.grpcsecurity.server;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

import io.grpc.Attributes;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.context.SecurityContext;

/**
 * A call that nobody makes. It is described, so that the checks of a plan can be asked
 * what they would decide about it.
 * <p>
 * The checks are those that calls run, and they run as the caller, as in a call. But no
 * observer hears of it, it is in no audit event and no metric of the pipeline, and it is
 * over before anything is asked, so that nothing can be kept for it. A check that counts
 * by itself looks at {@link SecuredCall#hypothetical()}. For one thread at a time.
 *
 * @since 0.1.0
 */
public final class HypotheticalCall {

	private final SecuredCall call;

	private final Identity identity;

	private HypotheticalCall(Builder builder) {
		Metadata headers = new Metadata();
		headers.merge(builder.headers);
		this.call = CallTracer.unobserved(builder.plan.method().fullName(), headers, builder.clock);
		Attributes.Builder attributes = Attributes.newBuilder();
		InetSocketAddress address = (builder.address != null) ? new InetSocketAddress(builder.address, 0) : null;
		if (address != null) {
			attributes.set(Grpc.TRANSPORT_ATTR_REMOTE_ADDR, address);
		}
		Duration deadline = builder.deadline;
		this.call.describe(builder.plan, attributes.build(), builder.authority,
				(deadline != null) ? Deadline.after(deadline.toNanos(), TimeUnit.NANOSECONDS) : null);
		if (builder.peerIdentity != null) {
			this.call.forwarded(new ForwardedPeer(address, builder.peerIdentity));
		}
		builder.credentials.forEach(this.call::authenticated);
		this.identity = Identity.of(this.call.authentication(),
				Context.ROOT.withValue(SecuredCall.CONTEXT_KEY, this.call), builder.contextKeys);
	}

	/**
	 * The call as checks see it.
	 * @return the call
	 */
	public SecuredCall call() {
		return this.call;
	}

	/**
	 * Asks what is decided when the call starts.
	 * @param check a check of the plan
	 * @return the verdict; where the check throws, the refusal that follows from that
	 */
	public Verdict ask(CallCheck check) {
		return asCaller(() -> check.check(this.call));
	}

	/**
	 * Asks what is decided about a message.
	 * @param check a check of the plan
	 * @param message the message; {@code null} for a stream that ends without one
	 * @return the verdict; where the check throws, the refusal that follows from that
	 */
	public Verdict ask(MessageCheck check, @Nullable Object message) {
		return asCaller(() -> check.check(this.call, message));
	}

	/**
	 * The refusal that follows from a check that fails instead of deciding.
	 * @param failure what it threw, or what its answer completed with
	 * @return the refusal
	 */
	public Refusal undecided(Throwable failure) {
		Refusal refusal = StatusTranslator.refusal(this.call, failure);
		return (refusal != null) ? refusal : Refusal.unavailable("a check failed: " + failure.getClass().getName());
	}

	private Verdict asCaller(Supplier<@Nullable Verdict> check) {
		List<Verdict> verdicts = new ArrayList<>(1);
		this.identity.run(() -> verdicts.add(verdict(check)));
		return verdicts.get(0);
	}

	private Verdict verdict(Supplier<@Nullable Verdict> check) {
		try {
			Verdict verdict = check.get();
			return (verdict != null) ? verdict
					: Verdict.refuse(undecided(new NullPointerException("A check answered null")));
		}
		catch (RuntimeException | StackOverflowError ex) {
			return Verdict.refuse(undecided(ex));
		}
	}

	/** Describes a call. Not thread-safe. */
	public static final class Builder {

		private final MethodPlan plan;

		private final List<Context.Key<SecurityContext>> contextKeys;

		private final List<VerifiedCredential> credentials = new ArrayList<>();

		private final Metadata headers = new Metadata();

		private InstantSource clock;

		private @Nullable String authority;

		private @Nullable InetAddress address;

		private @Nullable PeerIdentity peerIdentity;

		private @Nullable Duration deadline;

		Builder(MethodPlan plan, InstantSource clock, List<Context.Key<SecurityContext>> contextKeys) {
			this.plan = Objects.requireNonNull(plan, "plan");
			this.clock = clock;
			this.contextKeys = contextKeys;
		}

		/**
		 * Adds credentials, as if they had been presented and found good.
		 * @param credentials the credentials; a caller without any is anonymous
		 * @return this builder
		 */
		public Builder credentials(List<VerifiedCredential> credentials) {
			this.credentials.addAll(credentials);
			return this;
		}

		/**
		 * Adds headers.
		 * @param headers the headers; they authenticate nobody
		 * @return this builder
		 */
		public Builder headers(Metadata headers) {
			this.headers.merge(headers);
			return this;
		}

		/**
		 * Sets the host that the client means to call.
		 * @param authority the {@code :authority}; nobody knows unless set
		 * @return this builder
		 */
		public Builder authority(@Nullable String authority) {
			this.authority = authority;
			return this;
		}

		/**
		 * Sets where the client calls from.
		 * @param address the address; nobody knows unless set
		 * @return this builder
		 */
		public Builder address(@Nullable InetAddress address) {
			this.address = address;
			return this;
		}

		/**
		 * Sets whose certificate was verified.
		 * @param peerIdentity the identity; none unless set
		 * @return this builder
		 */
		public Builder peerIdentity(@Nullable PeerIdentity peerIdentity) {
			this.peerIdentity = peerIdentity;
			return this;
		}

		/**
		 * Sets how long the client waits.
		 * @param deadline the time; without end unless set
		 * @return this builder
		 */
		public Builder deadline(@Nullable Duration deadline) {
			this.deadline = deadline;
			return this;
		}

		/**
		 * Sets when the call arrives.
		 * @param time the instant; now unless set
		 * @return this builder
		 */
		public Builder time(@Nullable Instant time) {
			if (time != null) {
				this.clock = InstantSource.fixed(time);
			}
			return this;
		}

		/**
		 * Puts everything together.
		 * @return a call that is never made
		 */
		public HypotheticalCall build() {
			return new HypotheticalCall(this);
		}

	}

}
