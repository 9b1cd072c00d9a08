package io.github.grpcsecurity.authorization.opa;

import java.io.IOException;
import java.io.StringReader;
import java.util.Set;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import io.github.grpcsecurity.authorization.opa.OpaObserver.Outcome;
import org.jspecify.annotations.Nullable;

/**
 * What OPA said about a call, or why it said nothing.
 *
 * @param outcome what it says
 * @param httpStatus the status that the policy wants a refusal to have, 0 if it does not
 * care
 * @param decisionId finds the decision in OPA's own log; {@code null} if OPA keeps none
 * @param detail what is wrong with the answer, for audit and logs; quotes nothing of it
 */
record OpaAnswer(Outcome outcome, int httpStatus, @Nullable String decisionId, String detail) {

	private static final int MAX_DECISION_ID = 128;

	/**
	 * With these, OPA says that it is there but does not take or cannot answer the
	 * question.
	 */
	private static final Set<Integer> TURNED_DOWN = Set.of(400, 413, 500);

	static OpaAnswer failure(String detail) {
		return failure(detail, 0);
	}

	static OpaAnswer failure(String detail, int httpStatus) {
		return new OpaAnswer(Outcome.FAILURE, httpStatus, null, detail);
	}

	/** Whether it is the question, and so maybe the caller, that makes OPA fail. */
	boolean turnedDown() {
		return this.outcome == Outcome.FAILURE && TURNED_DOWN.contains(this.httpStatus);
	}

	/**
	 * Reads an answer of the Data API. Only {@code true}, or an object whose
	 * {@code allowed} is {@code true}, allows.
	 * @param json the body of the answer
	 * @return the answer; a failure if it is not an answer of this API
	 */
	static OpaAnswer read(String json) {
		try (JsonReader reader = new JsonReader(new StringReader(json))) {
			reader.setStrictness(Strictness.STRICT);
			OpaAnswer answer = read(reader);
			return (reader.peek() == JsonToken.END_DOCUMENT) ? answer : failure("more than an answer");
		}
		catch (IOException | IllegalStateException | NumberFormatException ex) {
			return failure("not an answer of OPA's Data API");
		}
	}

	private static OpaAnswer read(JsonReader reader) throws IOException {
		String decisionId = null;
		OpaAnswer result = null;
		reader.beginObject();
		while (reader.hasNext()) {
			String name = reader.nextName();
			if (name.equals("result")) {
				if (result != null) {
					throw new IllegalStateException("two results");
				}
				result = result(reader);
			}
			else if (name.equals("decision_id") && reader.peek() == JsonToken.STRING) {
				decisionId = reader.nextString();
			}
			else {
				reader.skipValue();
			}
		}
		reader.endObject();
		if (decisionId != null && decisionId.length() > MAX_DECISION_ID) {
			decisionId = decisionId.substring(0, MAX_DECISION_ID);
		}
		if (result == null) {
			// So says OPA where a policy is missing, or defines nothing for this input
			return new OpaAnswer(Outcome.NO_DECISION, 0, decisionId, "the policy is undefined");
		}
		return new OpaAnswer(result.outcome, result.httpStatus, decisionId, result.detail);
	}

	private static OpaAnswer result(JsonReader reader) throws IOException {
		JsonToken token = reader.peek();
		if (token == JsonToken.BOOLEAN) {
			return decision(reader.nextBoolean(), 0);
		}
		if (token != JsonToken.BEGIN_OBJECT) {
			reader.skipValue();
			return noDecision("the result is neither a boolean nor an object");
		}
		Boolean allowed = null;
		boolean readable = true;
		int httpStatus = 0;
		reader.beginObject();
		while (reader.hasNext()) {
			String name = reader.nextName();
			if (name.equals("allowed")) {
				readable &= allowed == null && reader.peek() == JsonToken.BOOLEAN;
				if (readable) {
					allowed = reader.nextBoolean();
				}
				else {
					reader.skipValue();
				}
			}
			else if (name.equals("http_status") && reader.peek() == JsonToken.NUMBER) {
				httpStatus = (int) reader.nextDouble();
			}
			else {
				reader.skipValue();
			}
		}
		reader.endObject();
		if (allowed == null || !readable) {
			return noDecision("the result has no boolean named allowed");
		}
		return decision(allowed, httpStatus);
	}

	private static OpaAnswer decision(boolean allowed, int httpStatus) {
		return new OpaAnswer(allowed ? Outcome.ALLOW : Outcome.DENY, httpStatus, null, "");
	}

	private static OpaAnswer noDecision(String detail) {
		return new OpaAnswer(Outcome.NO_DECISION, 0, null, detail);
	}

}
