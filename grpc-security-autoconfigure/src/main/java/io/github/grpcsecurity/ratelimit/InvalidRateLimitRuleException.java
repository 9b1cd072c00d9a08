package io.github.grpcsecurity.ratelimit;

/**
 * Rules do not fit together.
 *
 * @since 0.1.0
 */
public final class InvalidRateLimitRuleException extends IllegalArgumentException {

	private static final long serialVersionUID = 1L;

	private final int rule;

	private final String property;

	InvalidRateLimitRuleException(int rule, String property, String message) {
		super(message);
		this.rule = rule;
		this.property = property;
	}

	/**
	 * The rule that is at fault.
	 * @return its place in the list, from 0; rules of calls in flight come after all
	 * others
	 */
	public int rule() {
		return this.rule;
	}

	/**
	 * What is at fault about it.
	 * @return {@code name}, {@code key}, {@code on-failure}, {@code cost}, {@code costs}
	 * or {@code replaces}
	 */
	public String property() {
		return this.property;
	}

}
