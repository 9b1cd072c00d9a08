package io.github.grpcsecurity.tls;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;

/**
 * Notes for the audit events of each call which service account it comes from. It refuses
 * nothing, and comes first so that refused calls are told apart too.
 *
 * @since 0.1.0
 */
public final class AltsPeerStage implements CallStage {

	/** Name of the note. */
	public static final String PEER_IDENTITY = "peer.identity";

	@Override
	public SecurityStage stage() {
		return SecurityStage.ADMISSION;
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		plan.check("alts peer", (call) -> {
			AltsPeer peer = AltsPeer.of(call.attributes());
			if (peer != null) {
				call.note(PEER_IDENTITY, peer.identity());
			}
			return Verdict.proceed();
		});
	}

}
