package io.github.grpcsecurity.server;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;

import io.grpc.KnownLength;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.Marshaller;
import io.grpc.MethodDescriptor.PrototypeMarshaller;
import io.grpc.MethodDescriptor.ReflectableMarshaller;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import org.jspecify.annotations.Nullable;

/**
 * Lets messages that cannot be parsed reach the pipeline, which refuses the call.
 * <p>
 * gRPC parses messages before any interceptor sees them. What its marshaller throws ends
 * the call with {@code UNKNOWN} and a stack trace in the log. So the marshaller is
 * wrapped: instead of throwing it returns a {@link Malformed}, which the pipeline
 * recognizes and never hands on.
 * <p>
 * Here is also the only place that sees how large a message is: what comes of it may be
 * smaller, since a client can send the same field a thousand times.
 */
final class RequestParsing {

	private RequestParsing() {
	}

	static ServerServiceDefinition guard(ServerServiceDefinition service) {
		ServiceDescriptor original = service.getServiceDescriptor();
		ServiceDescriptor.Builder descriptor = ServiceDescriptor.newBuilder(original.getName())
			.setSchemaDescriptor(original.getSchemaDescriptor());
		List<ServerMethodDefinition<?, ?>> methods = new ArrayList<>();
		for (ServerMethodDefinition<?, ?> method : service.getMethods()) {
			ServerMethodDefinition<?, ?> guarded = guard(method);
			descriptor.addMethod(guarded.getMethodDescriptor());
			methods.add(guarded);
		}
		ServerServiceDefinition.Builder builder = ServerServiceDefinition.builder(descriptor.build());
		methods.forEach(builder::addMethod);
		return builder.build();
	}

	static <ReqT, RespT> ServerMethodDefinition<ReqT, RespT> guard(ServerMethodDefinition<ReqT, RespT> method) {
		MethodDescriptor<ReqT, RespT> descriptor = method.getMethodDescriptor();
		if (guarded(descriptor)) {
			return method;
		}
		return ServerMethodDefinition.create(
				descriptor.toBuilder().setRequestMarshaller(guard(descriptor.getRequestMarshaller())).build(),
				method.getServerCallHandler());
	}

	/** Whether the messages of a method pass through here. */
	static boolean guarded(MethodDescriptor<?, ?> method) {
		return method.getRequestMarshaller() instanceof GuardedMarshaller<?>;
	}

	private static <T> Marshaller<T> guard(Marshaller<T> marshaller) {
		if (marshaller instanceof PrototypeMarshaller<T> prototype) {
			return new GuardedPrototypeMarshaller<>(prototype);
		}
		if (marshaller instanceof ReflectableMarshaller<T> reflectable) {
			return new GuardedReflectableMarshaller<>(reflectable);
		}
		return new GuardedMarshaller<>(marshaller);
	}

	/** Stands in for a message that could not be parsed. */
	record Malformed(Refusal refusal) {

		private static final Malformed NOT_PARSEABLE = new Malformed(
				Refusal.malformed("a message could not be parsed"));

		private static final Malformed TOO_LARGE = new Malformed(
				Refusal.tooLarge("a message is too large after decompression"));

		static Malformed of(RuntimeException cause) {
			if (cause instanceof StatusRuntimeException status
					&& status.getStatus().getCode() == Status.Code.RESOURCE_EXHAUSTED) {
				return TOO_LARGE;
			}
			return NOT_PARSEABLE;
		}
	}

	private static class GuardedMarshaller<T> implements Marshaller<T> {

		private final Marshaller<T> delegate;

		GuardedMarshaller(Marshaller<T> delegate) {
			this.delegate = delegate;
		}

		@Override
		public InputStream stream(T value) {
			return this.delegate.stream(value);
		}

		@Override
		@SuppressWarnings("unchecked")
		public T parse(InputStream stream) {
			try {
				return this.delegate.parse(measured(stream));
			}
			catch (RuntimeException ex) {
				// Erased in gRPC: only our own listener, the outermost, ever gets it
				return (T) Malformed.of(ex);
			}
		}

		private static InputStream measured(InputStream stream) {
			SecuredCall call = SecuredCall.current();
			if (call == null || !call.measured()) {
				return stream;
			}
			try {
				if (stream instanceof KnownLength) {
					call.parsing(stream.available());
					return stream;
				}
				// Compressed, and no larger than the server takes: reading fails beyond
				byte[] message = stream.readAllBytes();
				call.parsing(message.length);
				return new ByteArrayInputStream(message);
			}
			catch (IOException ex) {
				throw new UncheckedIOException(ex);
			}
		}

	}

	private static class GuardedReflectableMarshaller<T> extends GuardedMarshaller<T>
			implements ReflectableMarshaller<T> {

		private final ReflectableMarshaller<T> delegate;

		GuardedReflectableMarshaller(ReflectableMarshaller<T> delegate) {
			super(delegate);
			this.delegate = delegate;
		}

		@Override
		public Class<T> getMessageClass() {
			return this.delegate.getMessageClass();
		}

	}

	private static final class GuardedPrototypeMarshaller<T> extends GuardedReflectableMarshaller<T>
			implements PrototypeMarshaller<T> {

		private final PrototypeMarshaller<T> delegate;

		GuardedPrototypeMarshaller(PrototypeMarshaller<T> delegate) {
			super(delegate);
			this.delegate = delegate;
		}

		@Override
		public @Nullable T getMessagePrototype() {
			return this.delegate.getMessagePrototype();
		}

	}

}
