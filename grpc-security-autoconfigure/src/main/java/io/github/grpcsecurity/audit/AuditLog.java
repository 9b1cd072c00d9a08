package io.github.grpcsecurity.audit;

import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;

import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.SecuredCall;
import io.grpc.Status;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.context.SmartLifecycle;

/**
 * Records one decision and one completion of each call and hands them to the sinks.
 * <p>
 * The threads that carry calls only put records into a bounded queue; one thread of this
 * log writes them. So a sink that fails or hangs fails or delays no call: when the queue
 * is full, records are dropped, those of refusals last, and counted; as soon as there is
 * room again, a record tells how many are missing. What is in the queue is lost when the
 * process dies, and written before it ends in good order.
 * <p>
 * As a bean it starts before and stops after the servers do. Thread-safe.
 *
 * @since 0.1.0
 */
public final class AuditLog implements CallObserver, SmartLifecycle, AutoCloseable {

	private static final Log logger = LogFactory.getLog(AuditLog.class);

	private static final int BATCH = 128;

	/** How often the failures of one sink are logged. */
	private static final Duration FAILURE_REPORT_INTERVAL = Duration.ofMinutes(1);

	private final AuditRuleStage rules;

	private final List<GuardedSink> sinks;

	private final AuditQueue queue;

	private final Duration grace;

	private final InstantSource clock;

	private final AtomicLong failed = new AtomicLong();

	private final Object lifecycle = new Object();

	// Guarded by lifecycle
	private @Nullable Thread writer;

	private volatile boolean running;

	/**
	 * Creates a log; it writes nothing before it is started.
	 * @param rules what is recorded
	 * @param sinks where records go
	 * @param queueCapacity how many records may wait to be written
	 * @param grace how long to wait at shutdown for records to be written: one half when
	 * the servers have stopped, the other when the application closes
	 * @param clock stamps the records
	 */
	public AuditLog(AuditRuleStage rules, List<? extends AuditSink> sinks, int queueCapacity, Duration grace,
			InstantSource clock) {
		this.rules = rules;
		this.sinks = sinks.stream().map(GuardedSink::new).toList();
		this.queue = new AuditQueue(queueCapacity);
		this.grace = grace;
		this.clock = clock;
	}

	@Override
	public void decided(SecuredCall call, CallDecision decision) {
		if (!this.sinks.isEmpty() && this.rules.rule(call).records(decision.refusal() != null)) {
			this.queue.offer(CallRecords.decision(call, decision, this.clock.instant()));
		}
	}

	@Override
	public void closed(SecuredCall call, Status status) {
		boolean denied = denied(call, status);
		if (!this.sinks.isEmpty() && this.rules.rule(call).records(denied)) {
			this.queue.offer(CallRecords.completion(call, status, denied, this.clock.instant()));
		}
	}

	private static boolean denied(SecuredCall call, Status status) {
		CallDecision decision = call.decision();
		return call.endedBy() != null || (decision != null && decision.refusal() != null)
				|| status.getCode() == Status.Code.UNAUTHENTICATED || status.getCode() == Status.Code.PERMISSION_DENIED;
	}

	/**
	 * How many records were dropped because the queue was full, or because they came
	 * after the end.
	 * @param denied whether to count those that told of a refusal, or the others
	 * @return the number since this log was created
	 */
	public long dropped(boolean denied) {
		AuditQueue.Losses losses = this.queue.total();
		return denied ? losses.refusals() : losses.permits();
	}

	/**
	 * How often a sink failed to write a record.
	 * @return the number since this log was created
	 */
	public long failed() {
		return this.failed.get();
	}

	/**
	 * How many records wait to be written.
	 * @return the number now
	 */
	public int queued() {
		return this.queue.size();
	}

	/** Starts to write. What was recorded before has waited. */
	@Override
	public void start() {
		this.running = true;
		startWriter();
	}

	private Thread startWriter() {
		synchronized (this.lifecycle) {
			Thread thread = this.writer;
			if (thread == null) {
				thread = new Thread(this::write, "grpc-security-audit");
				thread.setDaemon(true);
				thread.start();
				this.writer = thread;
			}
			return thread;
		}
	}

	/** Waits until everything recorded so far is written, for the grace period. */
	@Override
	public void stop() {
		this.running = false;
		try {
			if (!this.queue.awaitWritten(this.grace.toNanos() / 2)) {
				logger.warn("Audit records are still waiting to be written after " + this.grace.dividedBy(2) + ": "
						+ queued());
			}
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
	}

	@Override
	public boolean isRunning() {
		return this.running;
	}

	/** The servers have a higher phase: they start after this and stop before it. */
	@Override
	public int getPhase() {
		return Integer.MIN_VALUE;
	}

	/** Writes what there is, for as long as the grace period, and ends. */
	@Override
	public void close() {
		this.queue.close();
		// There may be records even if nobody ever started this
		Thread thread = startWriter();
		try {
			thread.join(Math.max(this.grace.toMillis() / 2, 1));
			if (thread.isAlive()) {
				logger.error("Audit records are lost, because a sink did not take them for " + this.grace
						+ " at shutdown: " + queued() + " or more");
				thread.interrupt();
			}
		}
		catch (InterruptedException ex) {
			thread.interrupt();
			Thread.currentThread().interrupt();
		}
	}

	private void write() {
		List<GrpcAuditRecord> batch = new ArrayList<>(BATCH);
		try {
			while (this.queue.take(batch, BATCH)) {
				batch.forEach(this::write);
				batch.clear();
				AuditQueue.Losses losses = this.queue.recovered();
				if (losses.any()) {
					report(losses);
				}
				if (this.queue.size() == 0) {
					this.sinks.forEach(this::flush);
				}
			}
			AuditQueue.Losses losses = this.queue.recovered();
			if (losses.any()) {
				report(losses);
				this.sinks.forEach(this::flush);
			}
		}
		catch (InterruptedException ex) {
			// The grace period is over
			Thread.currentThread().interrupt();
		}
	}

	private void report(AuditQueue.Losses losses) {
		logger.warn("Audit records were dropped, because sinks did not keep up: " + losses.refusals()
				+ " of refusals and " + losses.permits() + " others");
		write(GrpcAuditRecord
			.builder(GrpcAuditRecord.Kind.DROPPED, UUID.randomUUID().toString().replace("-", ""), this.clock.instant(),
					"grpc_audit_dropped")
			.with("dropped.count", losses.permits() + losses.refusals())
			.with("dropped.denied", losses.refusals())
			.denied(true)
			.build());
	}

	private void write(GrpcAuditRecord record) {
		for (GuardedSink sink : this.sinks) {
			guard(sink, () -> sink.target.write(record));
		}
	}

	private void flush(GuardedSink sink) {
		guard(sink, sink.target::flush);
	}

	private void guard(GuardedSink sink, SinkAction action) {
		try {
			action.run();
		}
		// Whatever a sink does, the others get their records and the thread lives on
		catch (Throwable ex) {
			this.failed.incrementAndGet();
			sink.failed(ex, this.clock.instant());
		}
	}

	@FunctionalInterface
	private interface SinkAction {

		void run() throws IOException;

	}

	/** A sink, and when its failures were last told. Used by the writing thread only. */
	private static final class GuardedSink {

		private final AuditSink target;

		private Instant nextReport = Instant.MIN;

		private long failures;

		GuardedSink(AuditSink target) {
			this.target = target;
		}

		void failed(Throwable failure, Instant now) {
			this.failures++;
			if (now.isBefore(this.nextReport)) {
				return;
			}
			logger.error(
					"Audit sink " + this.target.getClass().getName()
							+ " failed; other sinks go on. Failures since the last such line: " + this.failures,
					failure);
			this.failures = 0;
			this.nextReport = now.plus(FAILURE_REPORT_INTERVAL);
		}

	}

}
