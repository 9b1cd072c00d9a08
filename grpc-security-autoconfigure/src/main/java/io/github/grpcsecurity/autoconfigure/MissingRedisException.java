package io.github.grpcsecurity.autoconfigure;

/**
 * Redis is asked for, but there is no connection to one.
 */
final class MissingRedisException extends IllegalStateException {

	private static final long serialVersionUID = 1L;

	private final boolean several;

	MissingRedisException(boolean several) {
		super("grpc.security.rate-limit.store is 'redis', but there is "
				+ (several ? "more than one RedisConnectionFactory bean." : "no RedisConnectionFactory bean."));
		this.several = several;
	}

	/** Whether there are too many connections rather than none. */
	boolean several() {
		return this.several;
	}

}
