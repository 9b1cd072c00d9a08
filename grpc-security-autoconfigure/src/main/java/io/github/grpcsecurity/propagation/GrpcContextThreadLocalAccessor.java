package io.github.grpcsecurity.propagation;

import io.grpc.Context;
import io.micrometer.context.ThreadLocalAccessor;
import org.jspecify.annotations.Nullable;

/**
 * Shows gRPC's {@code Context} to Micrometer's context propagation, and so to Reactor and
 * everything else that uses it. Spring Security has the like for its
 * {@code SecurityContext}. Found through {@link java.util.ServiceLoader}; not meant to be
 * called.
 *
 * @since 0.1.0
 */
public final class GrpcContextThreadLocalAccessor implements ThreadLocalAccessor<Context> {

	/** Names the gRPC context in snapshots and in the context of Reactor. */
	public static final String KEY = "io.grpc.Context";

	@Override
	public Object key() {
		return KEY;
	}

	@Override
	public @Nullable Context getValue() {
		Context current = Context.current();
		return (current != Context.ROOT) ? current : null;
	}

	@Override
	public void setValue(Context value) {
		// Not attach(): that would leave the root in the thread instead of nothing
		Context.current().detach(value);
	}

	@Override
	public void setValue() {
		Context.current().detach(Context.ROOT);
	}

}
