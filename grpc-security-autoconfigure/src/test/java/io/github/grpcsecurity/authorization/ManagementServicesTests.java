package io.github.grpcsecurity.authorization;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.function.Consumer;

import io.github.grpcsecurity.authorization.cel.CelConditionCompiler;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.RawCall;
import io.grpc.BindableService;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.channelz.v1.GetServersRequest;
import io.grpc.channelz.v1.GetServersResponse;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.protobuf.services.ChannelzService;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.grpc.services.AdminInterface;
import io.grpc.stub.ServerCalls;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Tests that services about the server itself are services like any other: nothing is
 * exempt.
 */
@ExtendWith(OutputCaptureExtension.class)
class ManagementServicesTests {

	private static final String CSDS = "envoy.service.status.v3.ClientStatusDiscoveryService/FetchClientStatus";

	@Test
	@SuppressWarnings("deprecation")
	void callWhenNothingIsSaidThenEveryServiceIsClosedAndListed(CapturedOutput output) {
		List<ServerServiceDefinition> services = new ArrayList<>();
		services.add(new HealthStatusManager().getHealthService().bindService());
		services.add(ProtoReflectionServiceV1.newInstance().bindService());
		services.add(io.grpc.protobuf.services.ProtoReflectionService.newInstance().bindService());
		services.add(csds());
		// Channelz is one of them
		services.addAll(AdminInterface.getStandardServices());
		try (Running running = new Running(services, (builder) -> builder.healthAccess(Access.DENY))) {
			List<String> methods = new AuthorizationExplainer(() -> running.security).methods();

			assertThat(methods).contains("grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch",
					"grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
					"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
					"grpc.channelz.v1.Channelz/GetServers", CSDS);
			for (MethodDescriptor<?, ?> method : running.methods()) {
				boolean reflection = method.getFullMethodName().contains("ServerReflection");
				assertThat(running.call(method, Caller.anonymous())).as("%s", method.getFullMethodName())
					.isEqualTo(Code.UNAUTHENTICATED);
				assertThat(running.call(method, Caller.with("ROLE_ADMIN"))).as("%s", method.getFullMethodName())
					.isEqualTo(reflection ? Code.UNIMPLEMENTED : Code.PERMISSION_DENIED);
			}
			String uncovered = output.getOut()
				.lines()
				.filter((line) -> line.contains("No rule and no annotation says who may call"))
				.reduce("", String::concat);
			assertThat(uncovered).contains(CSDS, "grpc.channelz.v1.Channelz/GetServers",
					"grpc.channelz.v1.Channelz/GetSocket", "every call to them is refused");
			assertThat(output).contains("  " + CSDS + ": deny by default-access",
					"  grpc.health.v1.Health/Check: deny by health-access",
					"  grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo: hidden by"
							+ " grpc.security.reflection.access");
		}
	}

	@Test
	void callWhenRuleIsAboutChannelzThenItCountsAsForAnyService() {
		try (Running running = new Running(List.of(ChannelzService.newInstance(10).bindService(), csds()),
				(builder) -> builder.rule("grpc.channelz.v1.Channelz/*", "hasRole('ADMIN')").rule("**", "deny"))) {
			GetServersRequest request = GetServersRequest.getDefaultInstance();
			MethodDescriptor<GetServersRequest, GetServersResponse> method = io.grpc.channelz.v1.ChannelzGrpc
				.getGetServersMethod();

			assertThat(RawCall
				.start(running.channel, method.getFullMethodName(), MethodType.UNARY, Caller.with("ROLE_ADMIN"))
				.send(request.toByteArray())
				.halfClose()
				.await()
				.status()
				.getCode()).isEqualTo(Code.OK);
			assertThat(running.call(method, Caller.with("ROLE_USER"))).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	/** The service of grpc-xds by its name, which is all that could exempt it. */
	private static ServerServiceDefinition csds() {
		MethodDescriptor<GetServersRequest, GetServersResponse> method = MethodDescriptor
			.<GetServersRequest, GetServersResponse>newBuilder()
			.setType(MethodType.UNARY)
			.setFullMethodName(CSDS)
			.setRequestMarshaller(ProtoUtils.marshaller(GetServersRequest.getDefaultInstance()))
			.setResponseMarshaller(ProtoUtils.marshaller(GetServersResponse.getDefaultInstance()))
			.build();
		return ServerServiceDefinition.builder("envoy.service.status.v3.ClientStatusDiscoveryService")
			.addMethod(method, ServerCalls.asyncUnaryCall((request, replies) -> {
				replies.onError(Status.INTERNAL.withDescription("the handler ran").asRuntimeException());
			}))
			.build();
	}

	/** A server with several services. */
	private static final class Running implements AutoCloseable {

		private final List<ServerServiceDefinition> services;

		private final GrpcServerSecurity security;

		private final Server server;

		private final ManagedChannel channel;

		Running(List<ServerServiceDefinition> services, Consumer<AuthorizationStage.Builder> rules) {
			this.services = services;
			AuthorizationStage.Builder builder = AuthorizationStage.builder().conditions(new CelConditionCompiler());
			rules.accept(builder);
			this.security = GrpcServerSecurity.builder()
				.executor(Runnable::run)
				.stages(List.of(Caller.authentication(), builder.build()))
				.build();
			String name = UUID.randomUUID().toString();
			InProcessServerBuilder server = InProcessServerBuilder.forName(name);
			this.security.install(server,
					services.stream()
						.map((service) -> new SecuredService(service, (BindableService) () -> service, null))
						.toList());
			try {
				this.server = server.build().start();
			}
			catch (IOException ex) {
				throw new IllegalStateException(ex);
			}
			this.channel = InProcessChannelBuilder.forName(name).build();
		}

		List<MethodDescriptor<?, ?>> methods() {
			List<MethodDescriptor<?, ?>> methods = new ArrayList<>();
			this.services.forEach(
					(service) -> service.getMethods().forEach((method) -> methods.add(method.getMethodDescriptor())));
			return methods;
		}

		Code call(MethodDescriptor<?, ?> method, io.grpc.Metadata headers) {
			return RawCall.start(this.channel, method.getFullMethodName(), method.getType(), headers)
				.await()
				.status()
				.getCode();
		}

		@Override
		public void close() {
			this.channel.shutdownNow();
			this.server.shutdownNow();
		}

	}

}
