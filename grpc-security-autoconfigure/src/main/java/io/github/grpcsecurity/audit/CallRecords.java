package io.github.grpcsecurity.audit;

import java.time.Instant;

import javax.net.ssl.SSLSession;

import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * Tells what is known about a call. It looks at no header and at no message.
 */
final class CallRecords {

	private CallRecords() {
	}

	static GrpcAuditRecord decision(SecuredCall call, CallDecision decision, Instant now) {
		GrpcAuditRecord.Builder record = GrpcAuditRecord.builder(GrpcAuditRecord.Kind.DECISION, call.id(), now,
				type(decision));
		Refusal refusal = decision.refusal();
		if (refusal != null) {
			record.with("rpc.grpc.status", refusal.code().name());
		}
		describe(call, record);
		describe(decision, refusal, record);
		return record.denied(refusal != null).notes(call.notes()).build();
	}

	static GrpcAuditRecord completion(SecuredCall call, Status status, boolean denied, Instant now) {
		Refusal endedBy = call.endedBy();
		GrpcAuditRecord.Builder record = GrpcAuditRecord.builder(GrpcAuditRecord.Kind.COMPLETION, call.id(), now,
				(endedBy != null) ? type(endedBy) : "grpc_call_end");
		record.with("rpc.grpc.status", status.getCode().name());
		describe(call, record);
		CallDecision decision = call.decision();
		if (decision != null) {
			describe(decision, (endedBy != null) ? endedBy : decision.refusal(), record);
		}
		record.with("duration.ns", call.elapsed().toNanos())
			.with("messages.received", call.messagesReceived())
			.with("messages.sent", call.messagesSent());
		return record.denied(denied).notes(call.notes()).build();
	}

	private static String type(CallDecision decision) {
		Refusal refusal = decision.refusal();
		if (refusal != null) {
			return type(refusal);
		}
		return (decision.outcome() == CallDecision.Outcome.PERMIT) ? "grpc_call_permit" : "grpc_call_abandon";
	}

	// OWASP Logging Vocabulary, as far as it has a word
	private static String type(Refusal refusal) {
		return switch (refusal.kind()) {
			case UNAUTHENTICATED -> "authn_login_fail";
			case ACCESS_DENIED, NOT_FOUND -> "authz_fail";
			case OVER_LIMIT -> "excess_rate_limit_exceeded";
			case MALFORMED, TOO_LARGE -> "input_validation_fail";
			case UNAVAILABLE -> "grpc_guard_unavailable";
			case UNIMPLEMENTED -> "grpc_call_unimplemented";
		};
	}

	private static void describe(SecuredCall call, GrpcAuditRecord.Builder record) {
		record.with("rpc.system", "grpc");
		MethodPlan plan = call.plan();
		if (plan != null && !plan.method().unknown()) {
			record.with("rpc.service", plan.method().serviceName())
				.with("rpc.method", plan.method().bareName())
				.with("rpc.type", plan.method().descriptor().getType());
		}
		else {
			String name = call.fullMethodName();
			int slash = name.lastIndexOf('/');
			record.with("rpc.service", name.substring(0, Math.max(slash, 0)))
				.with("rpc.method", name.substring(slash + 1));
		}
		GrpcCaller caller = call.caller();
		record.with(GrpcAuditRecord.PRINCIPAL, Caller.name(caller.authentication()))
			.with("auth.kind", Caller.kinds(caller))
			.with("auth.issuer", Caller.issuer(caller))
			.with("auth.credential", Caller.credentialId(caller))
			.with("auth.application", Caller.name(caller.application()))
			.with("auth.workload", Caller.name(caller.workload()))
			.with("peer.address", call.peerAddress())
			.with("peer.identity", call.peerIdentity())
			.with("transport.security", call.securityLevel());
		SSLSession session = call.sslSession();
		if (session != null) {
			record.with("tls.protocol", session.getProtocol());
		}
	}

	private static void describe(CallDecision decision, @Nullable Refusal refusal, GrpcAuditRecord.Builder record) {
		record.with("decision.outcome", decision.outcome()).with("decision.stage", decision.stage());
		if (refusal != null) {
			record.with("decision.reason", refusal.reason()).with("decision.limit", refusal.quota());
		}
	}

}
