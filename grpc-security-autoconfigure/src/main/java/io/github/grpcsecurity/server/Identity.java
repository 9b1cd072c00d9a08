package io.github.grpcsecurity.server;

import java.util.List;

import io.grpc.Context;

import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContext;
import org.springframework.security.core.context.SecurityContextHolder;
import org.springframework.security.core.context.SecurityContextHolderStrategy;

/**
 * The caller's identity while code of one call runs: in the gRPC {@link Context}, which
 * follows the call, and in Spring's {@link SecurityContextHolder}, which follows the
 * thread and is therefore set for each callback and put back afterwards.
 */
final class Identity {

	private final Context context;

	private final SecurityContext securityContext;

	private final SecurityContextHolderStrategy strategy;

	private Identity(Context context, SecurityContext securityContext, SecurityContextHolderStrategy strategy) {
		this.context = context;
		this.securityContext = securityContext;
		this.strategy = strategy;
	}

	static Identity of(Authentication authentication, Context base, List<Context.Key<SecurityContext>> keys) {
		SecurityContextHolderStrategy strategy = SecurityContextHolder.getContextHolderStrategy();
		SecurityContext securityContext = strategy.createEmptyContext();
		securityContext.setAuthentication(authentication);
		Context context = base;
		for (Context.Key<SecurityContext> key : keys) {
			context = context.withValue(key, securityContext);
		}
		return new Identity(context, securityContext, strategy);
	}

	Context context() {
		return this.context;
	}

	void run(Runnable action) {
		SecurityContext previousIdentity = this.strategy.getContext();
		Context previous = this.context.attach();
		this.strategy.setContext(this.securityContext);
		try {
			action.run();
		}
		finally {
			if (previousIdentity.getAuthentication() == null) {
				this.strategy.clearContext();
			}
			else {
				this.strategy.setContext(previousIdentity);
			}
			this.context.detach(previous);
		}
	}

}
