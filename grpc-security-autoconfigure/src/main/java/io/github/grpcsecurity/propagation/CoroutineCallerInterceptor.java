package io.github.grpcsecurity.propagation;

import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.kotlin.CoroutineContextServerInterceptor;
import kotlin.coroutines.CoroutineContext;

/**
 * Lets the coroutines of grpc-kotlin's services work as their caller: they run on threads
 * of their own, where Spring's {@code SecurityContextHolder} is empty. gRPC's
 * {@code Context} they have from grpc-kotlin. Does nothing to other services.
 *
 * @since 0.1.0
 */
public final class CoroutineCallerInterceptor extends CoroutineContextServerInterceptor {

	@Override
	public CoroutineContext coroutineContext(ServerCall<?, ?> call, Metadata headers) {
		return CoroutineCaller.current();
	}

}
