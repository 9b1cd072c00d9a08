package io.github.grpcsecurity.propagation;

import java.util.function.Function;

import io.grpc.Context;
import reactor.core.publisher.Mono;

import org.springframework.security.core.context.ReactiveSecurityContextHolder;
import org.springframework.security.core.context.SecurityContext;

/**
 * Takes the caller of a call into a reactive stream that its handler returns or
 * subscribes to.
 *
 * @since 0.1.0
 */
public final class ReactiveCaller {

	private ReactiveCaller() {
	}

	/**
	 * Takes down what the current thread works for, for the {@code contextWrite} at the
	 * end of a stream: <pre class="code">
	 * return replies.contextWrite(ReactiveCaller.capture());
	 * </pre> The operators above it find the caller in
	 * {@link ReactiveSecurityContextHolder} and, where Reactor's automatic context
	 * propagation is on, in {@code SecurityContextHolder} and
	 * {@code GrpcCaller.current()} as well. Without an identity nothing is written.
	 * @return a function that adds to a context of Reactor
	 */
	public static Function<reactor.util.context.Context, reactor.util.context.Context> capture() {
		SecurityContext identity = ThreadIdentity.current();
		Context context = Context.current();
		return (target) -> {
			reactor.util.context.Context result = target;
			if (context != Context.ROOT) {
				result = result.put(GrpcContextThreadLocalAccessor.KEY, context);
			}
			if (identity != null) {
				// The first for Spring's reactive code, the second for its accessor of
				// threads
				result = result
					.putAll(ReactiveSecurityContextHolder.withSecurityContext(Mono.just(identity)).readOnly())
					.put(SecurityContext.class.getName(), identity);
			}
			return result;
		};
	}

}
