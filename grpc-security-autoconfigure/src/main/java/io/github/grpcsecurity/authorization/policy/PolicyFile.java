package io.github.grpcsecurity.authorization.policy;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.core.io.ClassPathResource;
import org.springframework.core.io.Resource;

/**
 * A policy file and the policy that is in force because of it.
 * <p>
 * The content counts, never the time of the file, so that a swapped link or a restored
 * file is noticed however it came about. What differs is read a second time before it is
 * taken, so that nothing half-written is. Content that is no usable policy is reported
 * and changes nothing: the last good policy stays in force. Thread-safe.
 *
 * @since 0.1.0
 */
public final class PolicyFile {

	private static final Log logger = LogFactory.getLog(PolicyFile.class);

	private static final Duration REMINDER = Duration.ofHours(1);

	private final Role role;

	private final String property;

	private final String value;

	private final Resource resource;

	private final PolicyAuditLoggers loggers;

	private final InstantSource clock;

	private final List<PolicyObserver> observers;

	private final List<Runnable> listeners = new CopyOnWriteArrayList<>();

	private volatile Version current;

	private volatile @Nullable Failure failure;

	// Guarded by this
	private @Nullable String seen;

	/**
	 * Reads a policy file for the first time.
	 * @param role what the policy is for
	 * @param property the property that names the file
	 * @param value what the property says
	 * @param resource the file
	 * @param loggers make the audit loggers that the policy names; those of a candidate
	 * are made but get no events
	 * @param clock tells when a policy came into force
	 * @param observers are told of changes and failures
	 * @throws InvalidPolicyException if there is no usable policy in it
	 */
	public PolicyFile(Role role, String property, String value, Resource resource, PolicyAuditLoggers loggers,
			InstantSource clock, Collection<? extends PolicyObserver> observers) {
		this.role = role;
		this.property = property;
		this.value = value;
		this.resource = resource;
		this.loggers = loggers;
		this.clock = clock;
		this.observers = List.copyOf(observers);
		PolicyContent content = PolicyContent.of(resource);
		this.current = version(content);
		adopted(this.current.policy());
	}

	/**
	 * What the policy is for.
	 * @return the role
	 */
	public Role role() {
		return this.role;
	}

	/**
	 * The policy in force.
	 * @return the policy
	 */
	public AuthorizationPolicy policy() {
		return this.current.policy();
	}

	/**
	 * When the policy came into force on this server.
	 * @return the instant
	 */
	public Instant since() {
		return this.current.since();
	}

	/**
	 * How long the policy has been in force on this server.
	 * @return the time since it was read
	 */
	public Duration age() {
		return Duration.between(since(), this.clock.instant());
	}

	/**
	 * What is wrong with the content that the file has now.
	 * @return the problem; {@code null} if the policy in force is what is in the file
	 */
	public @Nullable String lastError() {
		Failure current = this.failure;
		return (current != null) ? current.message() : null;
	}

	/**
	 * Since when the content of the file cannot be used.
	 * @return the instant; {@code null} if the policy in force is what is in the file
	 */
	public @Nullable Instant failingSince() {
		Failure current = this.failure;
		return (current != null) ? current.since() : null;
	}

	/**
	 * Looks at once and takes what is there, if it differs and is a usable policy.
	 * @return whether another policy is in force now
	 */
	public synchronized boolean reload() {
		PolicyContent content = PolicyContent.of(this.resource);
		return !isCurrent(content) && adopt(content);
	}

	/**
	 * Looks once; takes what has changed only when it looks the same twice.
	 * @return whether to look again soon
	 */
	synchronized boolean look() {
		PolicyContent content = PolicyContent.of(this.resource);
		if (isCurrent(content)) {
			return false;
		}
		Failure known = this.failure;
		boolean failed = known != null && known.digest().equals(content.digest());
		if (!failed && !content.digest().equals(this.seen)) {
			this.seen = content.digest();
			return true;
		}
		adopt(content);
		return false;
	}

	/** Whether the content can change at all: what is in a jar does not. */
	boolean changes() {
		return !(this.resource instanceof ClassPathResource);
	}

	Version current() {
		return this.current;
	}

	void onChange(Runnable listener) {
		this.listeners.add(listener);
	}

	String description() {
		return this.value;
	}

	private boolean isCurrent(PolicyContent content) {
		if (!content.digest().equals(this.current.policy().hash())) {
			return false;
		}
		this.seen = null;
		if (this.failure != null) {
			this.failure = null;
			logger.info(this.property + ": the policy in force is in the file again");
		}
		return true;
	}

	private boolean adopt(PolicyContent content) {
		Version next;
		try {
			next = version(content);
		}
		catch (RuntimeException ex) {
			fail(content.digest(), ex);
			return false;
		}
		Version previous = this.current;
		this.current = next;
		this.seen = null;
		this.failure = null;
		AuthorizationPolicy policy = next.policy();
		logger.info(this.property + ": policy " + policy.name() + " is in force, with " + policy.size()
				+ " rules and the hash " + policy.hash());
		adopted(policy);
		for (Runnable listener : this.listeners) {
			try {
				listener.run();
			}
			catch (RuntimeException ex) {
				logger.error("What follows from another policy failed", ex);
			}
		}
		this.loggers.close(previous.auditLoggers());
		return true;
	}

	private Version version(PolicyContent content) {
		AuthorizationPolicy policy = content.parse();
		return new Version(policy, this.loggers.create(policy), this.clock.instant());
	}

	private void adopted(AuthorizationPolicy policy) {
		policy.warnings().forEach((warning) -> logger.warn(this.property + " is '" + this.value + "'. " + warning));
		tell((observer) -> observer.adopted(this));
	}

	/** At once, and again each hour: nobody must forget that a change is not in force. */
	private void fail(String digest, RuntimeException cause) {
		Instant now = this.clock.instant();
		String message = String.valueOf(cause.getMessage());
		Failure known = this.failure;
		Instant since = (known != null) ? known.since() : now;
		if (known != null && known.digest().equals(digest) && now.isBefore(known.reported().plus(REMINDER))) {
			this.failure = new Failure(digest, message, since, known.reported());
		}
		else {
			this.failure = new Failure(digest, message, since, now);
			logger.error(this.property + " is '" + this.value + "', whose content cannot be used since " + since
					+ "; the policy " + this.current.policy().name() + " of " + this.current.since()
					+ " stays in force. " + message);
		}
		tell((observer) -> observer.failed(this, cause));
	}

	private void tell(Consumer<PolicyObserver> news) {
		for (PolicyObserver observer : this.observers) {
			try {
				news.accept(observer);
			}
			catch (RuntimeException ex) {
				logger.warn("An observer of policies failed: " + observer.getClass().getName(), ex);
			}
		}
	}

	@Override
	public String toString() {
		return "policy file " + this.value;
	}

	/** What a policy is for. */
	public enum Role {

		/** It decides. */
		LIVE,

		/** It only says what it would decide. */
		SHADOW

	}

	/**
	 * A policy that is or was in force.
	 *
	 * @param policy decides
	 * @param auditLoggers get its decisions
	 * @param since when it came into force
	 */
	record Version(AuthorizationPolicy policy, List<PolicyAuditLogger> auditLoggers, Instant since) {
	}

	/**
	 * Content that is no usable policy.
	 *
	 * @param digest which content
	 * @param message what is wrong with it
	 * @param since when the file began to be unusable
	 * @param reported when that was last logged
	 */
	private record Failure(String digest, String message, Instant since, Instant reported) {
	}

}
