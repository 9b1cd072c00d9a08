package io.github.grpcsecurity.autoconfigure;

/**
 * Redis is asked for, but there is no connection to one.
 */
final class MissingRedisException extends IllegalStateException {

	private static final long serialVersionUID = 1L;

	private final String property;

	private final String kept;

	private final boolean several;

	/**
	 * Describes what is missing.
	 * @param property the property that asks for Redis
	 * @param kept what would be kept there
	 * @param several whether there are too many connections rather than none
	 */
	MissingRedisException(String property, String kept, boolean several) {
		super(property + " is 'redis', but there is "
				+ (several ? "more than one RedisConnectionFactory bean." : "no RedisConnectionFactory bean."));
		this.property = property;
		this.kept = kept;
		this.several = several;
	}

	/** The property that asks for Redis. */
	String property() {
		return this.property;
	}

	/** What would be kept there. */
	String kept() {
		return this.kept;
	}

	/** Whether there are too many connections rather than none. */
	boolean several() {
		return this.several;
	}

}
