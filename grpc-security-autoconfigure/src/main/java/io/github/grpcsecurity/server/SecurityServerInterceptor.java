package io.github.grpcsecurity.server;

import java.util.Objects;
import java.util.function.Supplier;

import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;

/**
 * Leads every call through the plan of its method before anything else sees it.
 * <p>
 * It is added to the server builder last, which makes it the outermost interceptor.
 */
final class SecurityServerInterceptor implements ServerInterceptor {

	private final Supplier<PlanTable> plans;

	private final Pipeline pipeline;

	SecurityServerInterceptor(Supplier<PlanTable> plans, Pipeline pipeline) {
		this.plans = plans;
		this.pipeline = pipeline;
	}

	@Override
	public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> serverCall, Metadata headers,
			ServerCallHandler<ReqT, RespT> next) {
		SecuredCall call = Objects.requireNonNull(SecuredCall.current(),
				"The call tracer of GrpcServerSecurity is missing: install both on the same builder");
		MethodPlan plan = this.plans.get().plan(serverCall.getMethodDescriptor());
		call.bind(serverCall, plan);
		SecuredCallListener<ReqT, RespT> listener = new SecuredCallListener<>(serverCall, headers, next, call, plan,
				this.pipeline);
		listener.start();
		return listener;
	}

}
