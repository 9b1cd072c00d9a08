package io.github.grpcsecurity.authorization.policy;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;

import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

/** The calls that the policy in force has allowed and that are not over. Thread-safe. */
final class OpenCalls {

	private static final Log logger = LogFactory.getLog(OpenCalls.class);

	private final Set<OpenCall> calls = ConcurrentHashMap.newKeySet();

	/** Keeps a call until it is over. */
	void add(SecuredCall call, CallFacts facts) {
		OpenCall open = new OpenCall(call, facts.copy());
		this.calls.add(open);
		call.onClosed((status) -> this.calls.remove(open));
	}

	int size() {
		return this.calls.size();
	}

	/** Ends those calls that are denied now. */
	void reevaluate(Function<CallFacts, PolicyDecision> policy, Denied denied) {
		for (OpenCall open : this.calls) {
			try {
				reevaluate(open, policy.apply(open.facts), denied);
			}
			catch (RuntimeException ex) {
				// The others must not stay open because of this one
				logger.error("Call " + open.call.id() + " is ended, because another policy cannot be asked about it",
						ex);
				open.call.end(Refusal.unavailable("the policy that was changed failed"));
			}
		}
	}

	private static void reevaluate(OpenCall open, PolicyDecision decision, Denied denied) {
		if (!decision.allowed()) {
			denied.before(open.call, decision);
			if (open.call.end(Refusal.accessDenied("denied by " + decision.by() + " since it was changed"))) {
				denied.ended(decision);
			}
		}
	}

	/** Hears of open calls that are denied. */
	interface Denied {

		void before(SecuredCall call, PolicyDecision decision);

		void ended(PolicyDecision decision);

	}

	/** Compared by identity, which costs nothing. */
	private static final class OpenCall {

		private final SecuredCall call;

		private final CallFacts facts;

		OpenCall(SecuredCall call, CallFacts facts) {
			this.call = call;
			this.facts = facts;
		}

	}

}
