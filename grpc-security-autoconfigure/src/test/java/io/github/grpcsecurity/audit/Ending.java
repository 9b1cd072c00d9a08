package io.github.grpcsecurity.audit;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.Status.Code;

/** The ways in which a call can end, each with a call that ends so. */
enum Ending {

	OK(Code.OK),

	MALFORMED(Code.INVALID_ARGUMENT) {
		@Override
		List<byte[]> messages() {
			return List.of(new byte[] { 10, 100, 1 });
		}
	},

	HANDLER_THROWS(Code.INTERNAL) {
		@Override
		void prepare(Metadata headers) {
			headers.put(ScriptedEchoService.BEHAVE, "throw");
		}
	},

	HANDLER_THROWS_STATUS(Code.FAILED_PRECONDITION) {
		@Override
		void prepare(Metadata headers) {
			headers.put(ScriptedEchoService.BEHAVE, "throw-status");
		}
	},

	HANDLER_SENDS_ERROR(Code.NOT_FOUND) {
		@Override
		void prepare(Metadata headers) {
			headers.put(ScriptedEchoService.BEHAVE, "error");
		}
	},

	CLIENT_CANCELS(Code.CANCELLED) {
		@Override
		void prepare(Metadata headers) {
			headers.put(ScriptedEchoService.BEHAVE, "hang");
		}

		@Override
		boolean cancels() {
			return true;
		}
	},

	DEADLINE_PASSES(Code.DEADLINE_EXCEEDED, Code.CANCELLED) {
		@Override
		void prepare(Metadata headers) {
			headers.put(ScriptedEchoService.BEHAVE, "hang");
		}

		@Override
		CallOptions options() {
			return CallOptions.DEFAULT.withDeadlineAfter(150, TimeUnit.MILLISECONDS);
		}
	},

	UNKNOWN_METHOD(Code.UNAUTHENTICATED) {
		@Override
		String method(CallType type) {
			return "no.such.Service/No\u001bMethod";
		}
	},

	REFUSED_AT_ADMISSION(Code.INVALID_ARGUMENT) {
		@Override
		void prepare(Metadata headers) {
			headers.put(REFUSE, SecurityStage.ADMISSION.name());
		}
	},

	REFUSED_AT_PEER_LIMITS(Code.RESOURCE_EXHAUSTED) {
		@Override
		void prepare(Metadata headers) {
			headers.put(REFUSE, SecurityStage.PEER_LIMITS.name());
		}
	},

	REFUSED_AT_AUTHENTICATION(Code.UNAUTHENTICATED) {
		@Override
		void prepare(Metadata headers) {
			headers.put(REFUSE, SecurityStage.AUTHENTICATION.name());
		}
	},

	REFUSED_AT_PRINCIPAL_LIMITS(Code.RESOURCE_EXHAUSTED) {
		@Override
		void prepare(Metadata headers) {
			headers.put(REFUSE, SecurityStage.PRINCIPAL_LIMITS.name());
		}
	},

	REFUSED_AT_AUTHORIZATION(Code.PERMISSION_DENIED) {
		@Override
		void prepare(Metadata headers) {
			headers.put(REFUSE, SecurityStage.AUTHORIZATION.name());
		}
	},

	REFUSED_AT_VALIDATION(Code.UNAVAILABLE) {
		@Override
		void prepare(Metadata headers) {
			headers.put(REFUSE, SecurityStage.VALIDATION.name());
		}
	},

	REFUSED_BY_A_MESSAGE(Code.INVALID_ARGUMENT) {
		@Override
		List<byte[]> messages() {
			return List.of(text("good"), text("bad"), text("good"));
		}
	};

	private static final Metadata.Key<String> REFUSE = Metadata.Key.of("refuse", Metadata.ASCII_STRING_MARSHALLER);

	private final Set<Code> codes;

	Ending(Code first, Code... others) {
		this.codes = EnumSet.of(first, others);
	}

	/** How it ends; client and server race to the deadline, and who is first decides. */
	Set<Code> codes() {
		return this.codes;
	}

	void prepare(Metadata headers) {
	}

	List<byte[]> messages() {
		return List.of(text("hello"));
	}

	CallOptions options() {
		return CallOptions.DEFAULT.withDeadlineAfter(20, TimeUnit.SECONDS);
	}

	String method(CallType type) {
		return type.method();
	}

	boolean cancels() {
		return false;
	}

	/** Starts a call that ends like this. */
	Running start(Channel channel, CallType type) {
		boolean streams = type == CallType.CLIENT_STREAM || type == CallType.BIDI;
		MethodDescriptor<byte[], byte[]> method = MethodDescriptor.<byte[], byte[]>newBuilder()
			.setFullMethodName(method(type))
			.setType(switch (type) {
				case UNARY -> MethodDescriptor.MethodType.UNARY;
				case SERVER_STREAM -> MethodDescriptor.MethodType.SERVER_STREAMING;
				case CLIENT_STREAM -> MethodDescriptor.MethodType.CLIENT_STREAMING;
				case BIDI -> MethodDescriptor.MethodType.BIDI_STREAMING;
			})
			.setRequestMarshaller(Bytes.INSTANCE)
			.setResponseMarshaller(Bytes.INSTANCE)
			.build();
		Metadata headers = new Metadata();
		prepare(headers);
		ClientCall<byte[], byte[]> call = channel.newCall(method, options());
		CompletableFuture<Status> end = new CompletableFuture<>();
		call.start(new ClientCall.Listener<>() {
			@Override
			public void onClose(Status status, Metadata trailers) {
				end.complete(status);
			}
		}, headers);
		call.request(100);
		List<byte[]> messages = new ArrayList<>(messages());
		for (byte[] message : streams ? messages
				: messages.subList(messages.size() > 1 ? 1 : 0, Math.min(messages.size(), 2))) {
			call.sendMessage(message);
		}
		call.halfClose();
		return new Running(call, end);
	}

	private static byte[] text(String text) {
		return EchoRequest.newBuilder().setText(text).build().toByteArray();
	}

	/** A call under way. */
	record Running(ClientCall<?, ?> call, CompletableFuture<Status> end) {
	}

	/** Stages that refuse what these calls ask them to. */
	static List<CallStage> stages() {
		List<CallStage> stages = new ArrayList<>();
		for (SecurityStage stage : SecurityStage.values()) {
			stages.add(new RefusingStage(stage));
		}
		return stages;
	}

	private record RefusingStage(SecurityStage stage) implements CallStage {

		@Override
		public void plan(SecuredMethod method, MethodPlan.Builder plan) {
			Refusal refusal = switch (this.stage) {
				case ADMISSION -> Refusal.malformed("test");
				case PEER_LIMITS, PRINCIPAL_LIMITS -> Refusal.overLimit("test", null);
				case AUTHENTICATION -> Refusal.unauthenticated("test");
				case AUTHORIZATION -> Refusal.accessDenied("test");
				case VALIDATION -> Refusal.unavailable("test");
			};
			plan.check("on demand", (call) -> this.stage.name().equals(call.headers().get(REFUSE))
					? Verdict.refuse(refusal) : Verdict.proceed());
			if (this.stage == SecurityStage.VALIDATION) {
				plan.checkMessages("no bad ones",
						(call, message) -> (message instanceof EchoRequest request && request.getText().equals("bad"))
								? Verdict.refuse(Refusal.malformed("bad message")) : Verdict.proceed());
			}
		}

	}

	private enum Bytes implements MethodDescriptor.Marshaller<byte[]> {

		INSTANCE;

		@Override
		public InputStream stream(byte[] value) {
			return new ByteArrayInputStream(value);
		}

		@Override
		public byte[] parse(InputStream stream) {
			return new byte[0];
		}

	}

}
