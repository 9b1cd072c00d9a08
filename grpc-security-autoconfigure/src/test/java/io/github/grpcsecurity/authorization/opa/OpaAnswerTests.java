package io.github.grpcsecurity.authorization.opa;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

import io.github.grpcsecurity.authorization.opa.OpaObserver.Outcome;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Tests for {@link OpaAnswer}.
 */
class OpaAnswerTests {

	static Stream<Arguments> answers() {
		return Stream.of(Arguments.of("{\"result\":true}", Outcome.ALLOW),
				Arguments.of("{\"result\":false}", Outcome.DENY),
				Arguments.of("{\"result\":{\"allowed\":true,\"headers\":{\"x\":[\"y\"]}}}", Outcome.ALLOW),
				Arguments.of("{\"result\":{\"allowed\":false,\"body\":\"no\"}}", Outcome.DENY),
				Arguments.of("{}", Outcome.NO_DECISION), Arguments.of("{\"result\":null}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":{}}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":{\"allowed\":\"true\"}}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":{\"allowed\":1}}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":{\"allowed\":null}}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":{\"Allowed\":true}}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":{\"allowed\":true,\"allowed\":true}}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":{\"allowed\":\"x\",\"allowed\":true}}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":{\"other\":{\"allowed\":true}}}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":\"true\"}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":1}", Outcome.NO_DECISION),
				Arguments.of("{\"result\":[true]}", Outcome.NO_DECISION),
				Arguments.of("{\"allowed\":true}", Outcome.NO_DECISION));
	}

	@ParameterizedTest
	@MethodSource("answers")
	void readWhenApiAnswersThenOnlyAClearYesAllows(String json, Outcome outcome) {
		assertThat(OpaAnswer.read(json).outcome()).isEqualTo(outcome);
	}

	@ParameterizedTest
	@ValueSource(strings = { "", "true", "null", "[]", "\"true\"", "{\"result\":true", "{\"result\":true}}",
			"{\"result\":true}{\"result\":false}", "{\"result\":True}", "{result:true}", "{'result':true}",
			"{\"result\":true,}", "{\"result\":true,\"result\":true}", "{\"result\":true,\"result\":false}",
			"<html>true</html>", "{\"result\":{\"allowed\":true}", "{\"result\":NaN}" })
	void readWhenAnswerIsNotOfTheApiThenFailure(String json) {
		assertThat(OpaAnswer.read(json).outcome()).isEqualTo(Outcome.FAILURE);
	}

	@Test
	void readWhenAnswerIsDeeplyNestedThenFailure() {
		String json = "{\"result\":" + "[".repeat(50_000) + "]".repeat(50_000) + "}";

		assertThat(OpaAnswer.read(json).outcome()).isEqualTo(Outcome.FAILURE);
	}

	@Test
	void readWhenThereAreExtrasThenStatusAndDecisionIdCount() {
		OpaAnswer answer = OpaAnswer
			.read("{\"result\":{\"http_status\":401,\"allowed\":false},\"decision_id\":\"" + "d".repeat(200) + "\"}");

		assertThat(answer.httpStatus()).isEqualTo(401);
		assertThat(answer.decisionId()).isEqualTo("d".repeat(128));
		assertThat(OpaAnswer.read("{\"result\":{\"http_status\":\"401\",\"allowed\":false}}").httpStatus()).isZero();
	}

	@Test
	void exampleWhenItStandsOnThePageThenItIsThePolicyThatRuns() throws IOException {
		String page = Files.readString(Path.of("..", "docs", "authorization-opa.md"));

		assertThat(page).contains("```rego\n"
				+ new String(getClass().getResourceAsStream("/opa/authz.rego").readAllBytes(), StandardCharsets.UTF_8)
				+ "```");
	}

}
