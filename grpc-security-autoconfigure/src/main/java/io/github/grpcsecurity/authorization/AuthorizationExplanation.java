package io.github.grpcsecurity.authorization;

import java.util.List;

import io.grpc.Status.Code;
import org.jspecify.annotations.Nullable;

/**
 * Why a call would be allowed or refused.
 *
 * @param method the method, as gRPC writes it
 * @param caller whose call it would be
 * @param decision what would become of the call
 * @param status the status that the caller would get; {@code null} unless it is refused
 * @param decidedBy the one that refuses, or needs more to decide; {@code null} if the
 * call is allowed
 * @param opinions everything that has an opinion about the method, in the order in which
 * it is asked. A call ends with the first that refuses; here all are asked.
 * @since 0.1.0
 */
public record AuthorizationExplanation(String method, String caller, Decision decision, @Nullable Code status,
		@Nullable String decidedBy, List<StatedOpinion> opinions) {

	public AuthorizationExplanation {
		opinions = List.copyOf(opinions);
	}

	/**
	 * What one of them says.
	 *
	 * @param id its name in metrics and audit events
	 * @param description what it is
	 * @param shadow whether it is asked but not heeded
	 * @param decision what it says
	 * @param status the status of its refusal; {@code null} unless it refuses
	 * @param reason why it refuses or says nothing, as audit events have it; {@code null}
	 * if it allows
	 */
	public record StatedOpinion(String id, String description, boolean shadow, Decision decision, @Nullable Code status,
			@Nullable String reason) {

		@Override
		public String toString() {
			return this.decision + " " + (this.shadow ? "shadow: " : "") + this.description
					+ ((this.reason != null) ? " (" + this.reason + ")" : "");
		}

	}

	/** What can be said. */
	public enum Decision {

		/** The call is allowed. */
		ALLOWED,

		/** The call is refused. */
		DENIED,

		/** That depends on the message, of which nothing was said. */
		NEEDS_MESSAGE,

		/** Nobody answered, or one that is not known here decides as well. */
		UNDECIDED

	}

}
