package io.github.grpcsecurity.testing;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * A call whose method name, messages and headers a test is free to choose.
 */
public final class RawCall {

	private final ClientCall<byte[], byte[]> call;

	private final CompletableFuture<Result> result = new CompletableFuture<>();

	/** How the call ended for its client. */
	public record Result(Status status, Metadata trailers) {
	}

	private RawCall(Channel channel, String method, MethodType type, CallOptions options) {
		this.call = channel.newCall(MethodDescriptor.<byte[], byte[]>newBuilder()
			.setType(type)
			.setFullMethodName(method)
			.setRequestMarshaller(Bytes.INSTANCE)
			.setResponseMarshaller(Bytes.INSTANCE)
			.build(), options);
	}

	/** Starts a call and sends nothing but its headers. */
	public static RawCall start(Channel channel, String method, MethodType type, Metadata headers) {
		return start(channel, method, type, headers, CallOptions.DEFAULT);
	}

	public static RawCall start(Channel channel, String method, MethodType type, Metadata headers,
			CallOptions options) {
		RawCall raw = new RawCall(channel, method, type, options);
		raw.call.start(new ClientCall.Listener<>() {
			@Override
			public void onMessage(byte[] message) {
				raw.call.request(1);
			}

			@Override
			public void onClose(Status status, Metadata trailers) {
				raw.result.complete(new Result(status, trailers));
			}
		}, headers);
		raw.call.request(2);
		return raw;
	}

	/** Makes a whole call with these bytes as its only message. */
	public static Result call(Channel channel, String method, MethodType type, byte @Nullable [] message) {
		RawCall raw = start(channel, method, type, new Metadata());
		if (message != null) {
			raw.send(message);
		}
		return raw.halfClose().await();
	}

	public RawCall send(byte[] message) {
		this.call.sendMessage(message);
		return this;
	}

	public RawCall sendCompressed(byte[] message) {
		this.call.setMessageCompression(true);
		this.call.sendMessage(message);
		return this;
	}

	public RawCall halfClose() {
		this.call.halfClose();
		return this;
	}

	public RawCall cancel() {
		this.call.cancel("test", null);
		return this;
	}

	public boolean done() {
		return this.result.isDone();
	}

	public Result await() {
		try {
			return this.result.get(20, TimeUnit.SECONDS);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
			throw new AssertionError(ex);
		}
		catch (ExecutionException | TimeoutException ex) {
			throw new AssertionError("The call did not end", ex);
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
			try {
				return stream.readAllBytes();
			}
			catch (IOException ex) {
				throw new UncheckedIOException(ex);
			}
		}

	}

}
