package io.github.grpcsecurity.server;

import java.util.List;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Status.Code;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;

class PipelineTests {

	@ParameterizedTest
	@EnumSource
	void callWhenNothingObjectsThenHandlerAnswers(CallType type) {
		EchoService service = new EchoService();
		try (TestServer server = TestServer.network(service, List.of())) {
			CallType.Outcome outcome = type.call(server.channel());

			assertThat(outcome.code()).isEqualTo(Code.OK);
			assertThat(outcome.replies()).isNotEmpty();
			assertThat(service.entered).hasValue(1);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAStageRefusesThenHandlerNeverRuns(CallType type) {
		EchoService service = new EchoService();
		CallStage stage = new CallStage() {
			@Override
			public SecurityStage stage() {
				return SecurityStage.AUTHORIZATION;
			}

			@Override
			public void plan(SecuredMethod method, MethodPlan.Builder plan) {
				plan.check("no", (call) -> Verdict.refuse(Refusal.accessDenied("test")));
			}
		};
		try (TestServer server = TestServer.network(service, List.of(stage))) {
			CallType.Outcome outcome = type.call(server.channel());

			assertThat(outcome.code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(outcome.status().getDescription()).isEqualTo("access denied");
			assertThat(service.entered).hasValue(0);
		}
	}

}
