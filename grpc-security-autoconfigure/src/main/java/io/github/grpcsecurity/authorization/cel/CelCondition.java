package io.github.grpcsecurity.authorization.cel;

import java.util.List;
import java.util.Map;

import com.google.protobuf.Message;
import dev.cel.runtime.CelEvaluationException;
import dev.cel.runtime.CelRuntime;
import io.github.grpcsecurity.authorization.RuleCondition;
import io.github.grpcsecurity.server.SecuredCall;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * A condition that has been compiled for one method. It holds only where CEL says
 * {@code true}: an error, a missing key or another value does not count as that.
 */
final class CelCondition implements RuleCondition {

	private static final Log logger = LogFactory.getLog(CelCondition.class);

	private final List<Part> atStart;

	private final List<Part> onMessages;

	private final boolean keepsHeaders;

	CelCondition(List<Part> atStart, List<Part> onMessages) {
		this.atStart = List.copyOf(atStart);
		this.onMessages = List.copyOf(onMessages);
		this.keepsHeaders = this.onMessages.stream().anyMatch(Part::headers);
	}

	@Override
	public Answer ask(SecuredCall call) {
		if (this.keepsHeaders) {
			snapshot(call);
		}
		return this.atStart.isEmpty() ? Answer.TRUE
				: holds(this.atStart, call, null, new RequestHeaders(call.headers()));
	}

	@Override
	public boolean looksAtMessages() {
		return !this.onMessages.isEmpty();
	}

	@Override
	public Answer ask(SecuredCall call, @Nullable Object message) {
		return holds(this.onMessages, call, (message instanceof Message proto) ? proto : null,
				this.keepsHeaders ? snapshot(call) : Map.of());
	}

	private static Map<String, String> snapshot(SecuredCall call) {
		return call.state(RequestHeaders.Snapshot.class, () -> RequestHeaders.Snapshot.of(call.headers())).headers();
	}

	private static Answer holds(List<Part> parts, SecuredCall call, @Nullable Message message,
			Map<String, String> headers) {
		for (int i = 0; i < parts.size(); i++) {
			Answer answer = parts.get(i).holds(call, message, headers);
			if (answer != Answer.TRUE) {
				return answer;
			}
		}
		return Answer.TRUE;
	}

	/**
	 * What stands between two {@code &&}.
	 *
	 * @param program the program
	 * @param headers whether it reads headers
	 * @param bounds what bounds its work
	 */
	record Part(CelRuntime.Program program, boolean headers, WorkLimit.Bounds bounds) {

		Answer holds(SecuredCall call, @Nullable Message message, Map<String, String> requestHeaders) {
			Object value = evaluate(call, message, requestHeaders);
			if (value instanceof Boolean holds) {
				return holds ? Answer.TRUE : Answer.FALSE;
			}
			return Answer.FAILED;
		}

		@Nullable Object evaluate(SecuredCall call, @Nullable Message message, Map<String, String> requestHeaders) {
			try {
				return this.program.eval(new CallVariables(call, message, requestHeaders, new WorkLimit(this.bounds)));
			}
			catch (CelEvaluationException | RuntimeException | StackOverflowError | WorkLimit.Exceeded ex) {
				// What callers send can make it fail: this must not become a log flood
				if (logger.isDebugEnabled()) {
					logger.debug("An expression has no value for call " + call.id(), ex);
				}
				return null;
			}
		}

	}

}
