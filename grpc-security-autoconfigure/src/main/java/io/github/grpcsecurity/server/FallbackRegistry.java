package io.github.grpcsecurity.server;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.util.List;

import io.grpc.HandlerRegistry;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * Answers for methods that the server does not have, so that calls to them walk the
 * pipeline instead of being answered, with their name echoed, before any check.
 */
final class FallbackRegistry extends HandlerRegistry {

	/** Stands for all unknown methods; the name is one that no path can carry. */
	static final MethodDescriptor<byte[], byte[]> UNKNOWN = MethodDescriptor.<byte[], byte[]>newBuilder()
		.setType(MethodDescriptor.MethodType.UNKNOWN)
		.setFullMethodName("(unknown service)/(unknown method)")
		.setRequestMarshaller(NoMessages.INSTANCE)
		.setResponseMarshaller(NoMessages.INSTANCE)
		.build();

	// Never runs: the plan of unknown methods ends in a refusal
	private static final ServerMethodDefinition<?, ?> DEFINITION = ServerMethodDefinition.create(UNKNOWN,
			(call, headers) -> {
				call.close(Status.UNIMPLEMENTED, new Metadata());
				return new ServerCall.Listener<>() {
				};
			});

	private final @Nullable HandlerRegistry next;

	FallbackRegistry(@Nullable HandlerRegistry next) {
		this.next = next;
	}

	@Override
	public List<ServerServiceDefinition> getServices() {
		return (this.next != null) ? this.next.getServices() : List.of();
	}

	@Override
	public ServerMethodDefinition<?, ?> lookupMethod(String methodName, @Nullable String authority) {
		if (this.next != null) {
			ServerMethodDefinition<?, ?> definition = this.next.lookupMethod(methodName, authority);
			if (definition != null) {
				return RequestParsing.guard(definition);
			}
		}
		return DEFINITION;
	}

	/** No message of an unknown method is ever read or sent. */
	private enum NoMessages implements MethodDescriptor.Marshaller<byte[]> {

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
