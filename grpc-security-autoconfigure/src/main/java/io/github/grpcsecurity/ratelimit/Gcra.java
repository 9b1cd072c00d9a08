package io.github.grpcsecurity.ratelimit;

import java.math.BigInteger;
import java.time.Duration;

import org.jspecify.annotations.Nullable;

/**
 * The generic cell rate algorithm: {@code limit} permits per period, of which
 * {@code burst} may be taken at once.
 * <p>
 * All that is kept for a key is the time until which its permits are used up. The
 * distance of that time from now is the key's <em>debt</em>: each permit adds
 * {@code period / limit} to it, time takes it off again, and a call is denied if its debt
 * would exceed {@code burst * period / limit}.
 * <p>
 * Debts are exact: whole microseconds and a fraction whose denominator is {@code limit},
 * so that three permits a second are three and not 3.000003. No number exceeds
 * 2<sup>53</sup>: a Redis script, which has only doubles, computes the very same values.
 * Instances are immutable.
 *
 * @since 0.1.0
 */
public final class Gcra {

	static final long MAX_PERMITS = 1_000_000_000;

	/** About 31 years: added to any time of this century it stays below 2^53. */
	private static final long MAX_DEBT_MICROS = 1_000_000_000_000_000L;

	private final long limit;

	private final Duration period;

	private final long periodMicros;

	private final long burst;

	private final long cost;

	private final Debt price;

	private final long toleranceWhole;

	private final long toleranceFraction;

	/**
	 * Creates a limit.
	 * @param limit permits per period
	 * @param period length of the period, in whole microseconds
	 * @param burst permits that can be taken at once
	 * @param cost permits that one call takes unless it asks for another number; none
	 * only looks
	 * @throws IllegalArgumentException if a number is out of range
	 */
	public Gcra(long limit, Duration period, long burst, long cost) {
		require(limit >= 1 && limit <= MAX_PERMITS, "limit must be from 1 to 1000000000");
		require(!period.isNegative() && !period.isZero(), "period must be longer than zero");
		require(period.getNano() % 1000 == 0, "period must be a whole number of microseconds");
		require(period.compareTo(Duration.ofDays(366_000)) <= 0, "period must not be longer than 1000 years");
		require(burst >= 1 && burst <= MAX_PERMITS, "burst must be from 1 to 1000000000");
		require(cost >= 0 && cost <= MAX_PERMITS, "cost must be from 0 to 1000000000");
		this.limit = limit;
		this.period = period;
		this.periodMicros = period.getSeconds() * 1_000_000 + period.getNano() / 1000;
		this.burst = burst;
		this.cost = cost;
		BigInteger[] tolerance = interval(burst);
		require(tolerance[0].compareTo(BigInteger.valueOf(MAX_DEBT_MICROS)) <= 0,
				"burst, at this limit and period, must not take longer than 31 years to come back");
		this.toleranceWhole = tolerance[0].longValueExact();
		this.toleranceFraction = tolerance[1].longValueExact();
		this.price = computePrice(cost);
	}

	private Debt computePrice(long permits) {
		long product = permits * this.periodMicros;
		if (Math.multiplyHigh(permits, this.periodMicros) == 0 && product >= 0
				&& product / this.limit <= MAX_DEBT_MICROS) {
			return new Debt(product / this.limit, product % this.limit);
		}
		BigInteger[] interval = interval(permits);
		// What is beyond the tolerance is never admitted, however far
		return new Debt(interval[0].min(BigInteger.valueOf(2 * MAX_DEBT_MICROS)).longValueExact(),
				interval[1].longValueExact());
	}

	private BigInteger[] interval(long permits) {
		return BigInteger.valueOf(permits)
			.multiply(BigInteger.valueOf(this.periodMicros))
			.divideAndRemainder(BigInteger.valueOf(this.limit));
	}

	private static void require(boolean condition, String message) {
		if (!condition) {
			throw new IllegalArgumentException(message);
		}
	}

	/**
	 * The same limit for one of several servers that share it without talking to each
	 * other.
	 * @param servers how many share the limit
	 * @return the share: the rate divided exactly, the burst rounded up and never below
	 * the cost of one call
	 * @throws IllegalArgumentException if the share is too small to be counted
	 */
	public Gcra share(int servers) {
		return share(servers, this.cost);
	}

	Gcra share(int servers, long leastBurst) {
		if (servers == 1) {
			return this;
		}
		return new Gcra(this.limit, this.period.multipliedBy(servers),
				Math.max(leastBurst, (this.burst + servers - 1) / servers), this.cost);
	}

	/**
	 * Permits per period, and the denominator of all fractions.
	 * @return the limit
	 */
	public long limit() {
		return this.limit;
	}

	/**
	 * Length of the period.
	 * @return the period
	 */
	public Duration period() {
		return this.period;
	}

	/**
	 * Permits that can be taken at once.
	 * @return the burst
	 */
	public long burst() {
		return this.burst;
	}

	/**
	 * Permits that one call takes, unless it asks for another number.
	 * @return the cost
	 */
	public long cost() {
		return this.cost;
	}

	/**
	 * What permits add to the debt.
	 * @param permits how many, from 0 to 1000000000
	 * @return the sum of their intervals
	 */
	public Debt price(long permits) {
		return (permits == this.cost) ? this.price : computePrice(permits);
	}

	/**
	 * The largest debt.
	 * @return whole microseconds
	 */
	public long toleranceWhole() {
		return this.toleranceWhole;
	}

	/**
	 * The largest debt beyond {@link #toleranceWhole()}.
	 * @return the numerator of the fraction
	 */
	public long toleranceFraction() {
		return this.toleranceFraction;
	}

	/**
	 * Whether a call is admitted.
	 * @param debt the debt before the call
	 * @param permits how many the call takes
	 * @return whether the debt after it stays within the tolerance
	 */
	public boolean admits(Debt debt, long permits) {
		return !exceeds(debt.plus(this, permits), this.toleranceWhole, this.toleranceFraction);
	}

	/**
	 * Brings a debt into bounds. A larger one than the tolerance is possible only if a
	 * clock went back or the limit was changed; it must not lock anybody out for longer
	 * than a full burst does, so whoever keeps debts keeps this one from then on.
	 * @param whole whole microseconds, negative for times that are over
	 * @param fraction the numerator of the fraction
	 * @return a debt from none to the tolerance
	 */
	public Debt debt(long whole, long fraction) {
		if (whole < 0) {
			return Debt.NONE;
		}
		// Counted in another denominator, before the limit was changed
		long numerator = Math.min(fraction, this.limit - 1);
		Debt debt = new Debt(whole, numerator);
		return exceeds(debt, this.toleranceWhole, this.toleranceFraction)
				? new Debt(this.toleranceWhole, this.toleranceFraction) : debt;
	}

	private static boolean exceeds(Debt debt, long whole, long fraction) {
		return debt.whole() > whole || (debt.whole() == whole && debt.fraction() > fraction);
	}

	/** Whether four fifths of the burst are used up. */
	boolean near(Debt debt) {
		return debt.whole() >= this.toleranceWhole - this.toleranceWhole / 5;
	}

	/** How many more permits fit on top of a debt. */
	long remaining(Debt debt) {
		return permits(this.toleranceWhole - debt.whole(), this.toleranceFraction - debt.fraction());
	}

	/** How many permits this price, which may have another denominator, would pay for. */
	long affordable(Debt price) {
		return permits(price.whole(), Math.min(price.fraction(), this.limit - 1));
	}

	private long permits(long whole, long fraction) {
		long product = whole * this.limit;
		if (Math.multiplyHigh(whole, this.limit) == 0 && product >= 0 && product <= Long.MAX_VALUE - this.limit) {
			return (product + fraction) / this.periodMicros;
		}
		BigInteger free = BigInteger.valueOf(whole)
			.multiply(BigInteger.valueOf(this.limit))
			.add(BigInteger.valueOf(fraction));
		return free.divide(BigInteger.valueOf(this.periodMicros)).longValueExact();
	}

	/**
	 * When a call that is denied now would be admitted; null if it never fits.
	 */
	@Nullable Duration retryAfter(Debt debt, long permits) {
		if (!admits(Debt.NONE, permits)) {
			return null;
		}
		Debt after = debt.plus(this, permits);
		long micros = after.whole() - this.toleranceWhole;
		// Rounded up: an early retry would be denied again
		return micros(after.fraction() > this.toleranceFraction ? micros + 1 : micros);
	}

	/** When nothing is left of a debt. */
	static Duration resetAfter(Debt debt) {
		return micros(debt.fraction() > 0 ? debt.whole() + 1 : debt.whole());
	}

	private static Duration micros(long micros) {
		return Duration.ofSeconds(micros / 1_000_000, micros % 1_000_000 * 1000);
	}

	@Override
	public String toString() {
		return this.limit + " per " + this.period + ", burst " + this.burst + ", cost " + this.cost;
	}

	/**
	 * What a key owes: the time that has to pass until all its permits are back.
	 *
	 * @param whole whole microseconds
	 * @param fraction the numerator of a fraction of a microsecond; its denominator is
	 * {@link Gcra#limit()}
	 */
	public record Debt(long whole, long fraction) {

		/** Nothing is owed: all permits are there. */
		public static final Debt NONE = new Debt(0, 0);

		/**
		 * The debt after permits were taken.
		 * @param gcra the limit that they count against
		 * @param permits how many, from 0 to 1000000000
		 * @return the sum
		 */
		public Debt plus(Gcra gcra, long permits) {
			Debt price = gcra.price(permits);
			long sum = this.fraction + price.fraction;
			return (sum >= gcra.limit) ? new Debt(this.whole + price.whole + 1, sum - gcra.limit)
					: new Debt(this.whole + price.whole, sum);
		}

		/**
		 * The debt after permits that nobody used were given back.
		 * @param gcra the limit that they count against
		 * @param permits how many, from 0 to 1000000000
		 * @return the difference, or nothing if time has paid for them already
		 */
		public Debt minus(Gcra gcra, long permits) {
			Debt price = gcra.price(permits);
			long difference = this.fraction - price.fraction;
			Debt debt = (difference < 0) ? new Debt(this.whole - price.whole - 1, difference + gcra.limit)
					: new Debt(this.whole - price.whole, difference);
			return (debt.whole < 0) ? NONE : debt;
		}

	}

}
