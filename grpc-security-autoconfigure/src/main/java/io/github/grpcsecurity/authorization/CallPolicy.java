package io.github.grpcsecurity.authorization;

import java.util.Collection;

import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * Somebody beside rules and annotations who has an opinion about calls, such as a policy
 * file. Everything that has an opinion must allow a call.
 * <p>
 * It is asked for every method of the server, health checks and open reflection among
 * them, before rules and annotations are, unless it says otherwise. Implementations are
 * thread-safe.
 *
 * @since 0.1.0
 */
public interface CallPolicy {

	/**
	 * Names it in metrics and audit events.
	 * @return a word in lower case, always the same
	 */
	String id();

	/**
	 * What it is, for plans and logs.
	 * @return a few words, the same at every call
	 */
	String description();

	/**
	 * Whether calls to a method can be decided by this alone. Where nothing decides,
	 * {@code default-access} does.
	 * @param method the method
	 * @return {@code false} if it only watches
	 */
	default boolean decides(SecuredMethod method) {
		return true;
	}

	/**
	 * Whether it is asked about calls to a method at all.
	 * @param method the method
	 * @return {@code false} if it has nothing to say about them
	 */
	default boolean applies(SecuredMethod method) {
		return true;
	}

	/**
	 * Whether it is asked about each message of a call, and not about its start.
	 * @return whether {@link #check(SecuredCall, Object)} decides
	 */
	default boolean looksAtMessages() {
		return false;
	}

	/**
	 * Whether it has to ask somebody over the network, which is spared for calls that
	 * nothing else refuses.
	 * @return whether it comes after rules and annotations
	 */
	default boolean asksOthers() {
		return false;
	}

	/**
	 * Called when the methods of the server are known.
	 * @param methods all of them, at least one
	 */
	default void planned(Collection<SecuredMethod> methods) {
	}

	/**
	 * Decides about a call whose handler has not started.
	 * @param call the call, after authentication
	 * @return the verdict. As {@link io.github.grpcsecurity.server.CallCheck} has it,
	 * throwing refuses the call. Of a {@linkplain SecuredCall#hypothetical()
	 * hypothetical} call nothing is counted, audited or kept.
	 */
	Verdict check(SecuredCall call);

	/**
	 * Decides about one message, if this looks at messages.
	 * @param call the call
	 * @param message the message; {@code null} once, in place of the first message, when
	 * the client ends its stream without sending any
	 * @return the verdict, as above
	 */
	default Verdict check(SecuredCall call, @Nullable Object message) {
		return check(call);
	}

}
