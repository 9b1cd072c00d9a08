package io.github.grpcsecurity.ratelimit;

/**
 * What a key owes a store of permits for what a server handed out while it could not ask
 * there. Immutable.
 * <p>
 * Meanwhile the server counts for itself, with a share of the limit: each permit costs as
 * many times its price as servers share it, on top of what the key owed when the count
 * began. Of what this adds to the debt the key owes the store the part of this server. It
 * does not get less before what the count began with is paid, and then by this server's
 * part of the time.
 *
 * @param known what the key owes by the last word of the store, in microseconds
 * @param base what the count of this server began with, in microseconds
 * @param counted what the key owes by the count of this server, in microseconds
 * @param servers how many servers share the limit while each counts for itself
 * @since 0.1.0
 */
public record OutageDebt(long known, long base, long counted, int servers) {

	/** How long the others may take to tell what they handed out. */
	private static final long OTHERS_MICROS = 1_000_000;

	/** Nothing is owed. */
	public static final OutageDebt NONE = new OutageDebt(0, 0, 0, 1);

	/**
	 * What the store is to take for granted that the key owes, even if it has lost its
	 * data, before it adds what is {@link #owed()}. That is what it knew, or, up to a
	 * second of it, what the key owes if the other servers handed out as much: whoever is
	 * the first to tell must not get what the others have handed out, too.
	 * @return microseconds
	 */
	public long least() {
		return Math.max(this.known, Math.min(this.counted, OTHERS_MICROS) - owed());
	}

	/**
	 * What the store is to add to what it knows of.
	 * @return microseconds, rounded up; none if everything is paid
	 */
	public long owed() {
		return Math.max(0, (this.counted - this.base + this.servers - 1) / this.servers);
	}

	/**
	 * What the key owes when the store has heard of this.
	 * @param gcra the limit
	 * @param stored what it owes by the store, within the bounds of the limit
	 * @return the sum, within the bounds of the limit
	 */
	public Gcra.Debt addedTo(Gcra gcra, Gcra.Debt stored) {
		Gcra.Debt more = (stored.whole() < least()) ? new Gcra.Debt(least(), 0) : stored;
		return gcra.debt(more.whole() + owed(), more.fraction());
	}

	/**
	 * Whether nothing is left of it.
	 * @return whether the store need not hear of it
	 */
	public boolean paid() {
		return this.known <= 0 && owed() == 0;
	}

	/**
	 * What is left of it when time has gone by.
	 * @param micros microseconds
	 * @return the debt then
	 */
	public OutageDebt after(long micros) {
		return new OutageDebt(Math.max(0, this.known - micros), Math.max(0, this.base - micros),
				Math.max(0, this.counted - micros), this.servers);
	}

}
