package io.github.grpcsecurity.ratelimit;

/**
 * What somebody owes by a rule as time goes by: when all permits are back. Times are
 * microseconds of a clock that never goes back. Not thread-safe.
 */
final class RunningDebt {

	// At first, a time that is over by any clock
	private long whole = Long.MIN_VALUE / 2;

	private long fraction;

	private long sumWhole;

	private long sumFraction;

	/**
	 * Whether permits are there, by the arithmetic of {@link Gcra} but without its
	 * objects: that permits are there is the usual case, and comes with each message.
	 */
	boolean admits(Gcra gcra, long permits, long now) {
		Gcra.Debt price = gcra.price(permits);
		long toleranceWhole = gcra.toleranceWhole();
		long toleranceFraction = gcra.toleranceFraction();
		long owedWhole = Math.max(0, this.whole - now);
		long owedFraction = (this.whole < now) ? 0 : Math.min(this.fraction, gcra.limit() - 1);
		if (exceeds(owedWhole, owedFraction, toleranceWhole, toleranceFraction)) {
			owedWhole = toleranceWhole;
			owedFraction = toleranceFraction;
			this.whole = now + owedWhole;
			this.fraction = owedFraction;
		}
		long carry = (owedFraction + price.fraction() >= gcra.limit()) ? 1 : 0;
		this.sumWhole = owedWhole + price.whole() + carry;
		this.sumFraction = owedFraction + price.fraction() - carry * gcra.limit();
		return !exceeds(this.sumWhole, this.sumFraction, toleranceWhole, toleranceFraction);
	}

	private static boolean exceeds(long whole, long fraction, long otherWhole, long otherFraction) {
		return whole > otherWhole || (whole == otherWhole && fraction > otherFraction);
	}

	/**
	 * Takes the permits that were admitted last.
	 * @return whether the limit is near
	 */
	boolean take(Gcra gcra, long now) {
		this.whole = now + this.sumWhole;
		this.fraction = this.sumFraction;
		return gcra.near(new Gcra.Debt(this.sumWhole, this.sumFraction));
	}

	/**
	 * What is owed, within the bounds of the limit. If it had to be brought into bounds,
	 * it is less from now on.
	 */
	Gcra.Debt debt(Gcra gcra, long now) {
		long owed = this.whole - now;
		Gcra.Debt debt = gcra.debt(owed, this.fraction);
		if (debt.whole() < owed
				|| (debt.whole() == owed && debt.fraction() < Math.min(this.fraction, gcra.limit() - 1))) {
			owes(debt, now);
		}
		return debt;
	}

	/** Owes what somebody else has worked out. */
	void owes(Gcra.Debt debt, long now) {
		this.whole = now + debt.whole();
		this.fraction = debt.fraction();
	}

	/** Owes what somebody else owes. */
	void owes(RunningDebt other) {
		this.whole = other.whole;
		this.fraction = other.fraction;
	}

	/** When nothing is owed any more. */
	long end() {
		return this.whole;
	}

}
