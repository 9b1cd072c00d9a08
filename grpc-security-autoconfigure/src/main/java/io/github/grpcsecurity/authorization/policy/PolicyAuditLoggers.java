package io.github.grpcsecurity.authorization.policy;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

/**
 * The kinds of audit logger that policies can name, and the way to them: a bounded queue
 * that one thread at a time empties, so that no call waits for a logger. Thread-safe.
 *
 * @since 0.1.0
 */
public final class PolicyAuditLoggers implements AutoCloseable {

	private static final Log logger = LogFactory.getLog(PolicyAuditLoggers.class);

	private static final int CAPACITY = 10_000;

	private final Map<String, PolicyAuditLoggerFactory> factories = new HashMap<>();

	private final Executor executor;

	private final List<PolicyObserver> observers;

	private final Queue<Runnable> queue = new ConcurrentLinkedQueue<>();

	private final AtomicInteger size = new AtomicInteger();

	private final AtomicBoolean draining = new AtomicBoolean();

	private final AtomicBoolean full = new AtomicBoolean();

	private final AtomicBoolean failing = new AtomicBoolean();

	/**
	 * Creates the registry.
	 * @param factories the user's kinds of logger; one with the name of a built-in kind
	 * takes its place
	 * @param executor where loggers run
	 * @param observers are told of events that were dropped
	 * @throws IllegalStateException if two kinds have the same name
	 */
	public PolicyAuditLoggers(Collection<? extends PolicyAuditLoggerFactory> factories, Executor executor,
			Collection<? extends PolicyObserver> observers) {
		this.executor = executor;
		this.observers = List.copyOf(observers);
		for (PolicyAuditLoggerFactory factory : factories) {
			PolicyAuditLoggerFactory other = this.factories.put(factory.name(), factory);
			if (other != null) {
				throw new IllegalStateException(
						"Two kinds of audit logger are called '" + factory.name() + "': " + other.getClass().getName()
								+ " and " + factory.getClass().getName() + ". Give one of them another name.");
			}
		}
		PolicyAuditLoggerFactory stdout = new StdoutAuditLoggerFactory(() -> System.out);
		this.factories.putIfAbsent(stdout.name(), stdout);
	}

	/** Makes the loggers that a policy names; all of them, or none if it is refused. */
	List<PolicyAuditLogger> create(AuthorizationPolicy policy) {
		List<PolicyAuditLogger> created = new ArrayList<>();
		for (AuditLoggerSetting setting : policy.auditLoggers()) {
			try {
				created.add(create(setting));
			}
			catch (RuntimeException ex) {
				if (setting.optional()) {
					logger
						.info("Policy " + policy.name() + " does without an optional audit logger: " + ex.getMessage());
					continue;
				}
				close(created);
				throw ex;
			}
		}
		return List.copyOf(created);
	}

	private PolicyAuditLogger create(AuditLoggerSetting setting) {
		PolicyAuditLoggerFactory factory = this.factories.get(setting.name());
		if (factory == null) {
			throw new InvalidPolicyException(setting.pointer() + "/name",
					"There is no audit logger '" + setting.name() + "'.",
					"Add a bean of type PolicyAuditLoggerFactory with this name, use one of "
							+ this.factories.keySet().stream().sorted().toList() + ", or set \"is_optional\".");
		}
		try {
			return factory.create(setting.config());
		}
		catch (RuntimeException ex) {
			throw new InvalidPolicyException(setting.pointer() + "/config",
					"The audit logger '" + setting.name() + "' does not work with it (" + ex + ").",
					"Correct it, or set \"is_optional\".", ex);
		}
	}

	/** Hands an event over. Never waits. */
	void log(PolicyAuditEvent event, List<PolicyAuditLogger> loggers) {
		if (this.size.incrementAndGet() > CAPACITY) {
			this.size.decrementAndGet();
			if (this.full.compareAndSet(false, true)) {
				logger.warn("The audit loggers of the policy are too slow: events are dropped");
			}
			this.observers.forEach(PolicyObserver::auditEventDropped);
			return;
		}
		submit(() -> loggers.forEach((one) -> guarded(one, (target) -> target.log(event))));
	}

	/** Closes loggers behind their last event. */
	void close(List<PolicyAuditLogger> loggers) {
		this.size.incrementAndGet();
		submit(() -> loggers.forEach((one) -> guarded(one, PolicyAuditLogger::close)));
	}

	private void guarded(PolicyAuditLogger target, Consumer<PolicyAuditLogger> action) {
		try {
			action.accept(target);
			this.failing.set(false);
		}
		catch (RuntimeException ex) {
			// Once, until it works again: events come as fast as calls do
			if (this.failing.compareAndSet(false, true)) {
				logger.error("An audit logger of the policy failed: " + target.getClass().getName(), ex);
			}
		}
	}

	private void submit(Runnable task) {
		this.queue.add(task);
		drainSoon();
	}

	private void drainSoon() {
		if (this.draining.compareAndSet(false, true)) {
			try {
				this.executor.execute(this::drain);
			}
			catch (RejectedExecutionException ex) {
				this.draining.set(false);
				logger.debug("The application ends; what waits is written when it closes", ex);
			}
		}
	}

	private void drain() {
		try {
			for (Runnable task = this.queue.poll(); task != null; task = this.queue.poll()) {
				this.size.decrementAndGet();
				task.run();
			}
			this.full.set(false);
		}
		finally {
			this.draining.set(false);
		}
		if (!this.queue.isEmpty()) {
			drainSoon();
		}
	}

	/** Writes what still waits, unless another thread is about to. */
	@Override
	public void close() {
		if (this.draining.compareAndSet(false, true)) {
			drain();
		}
	}

}
