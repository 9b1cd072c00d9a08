package io.github.grpcsecurity.sample.tour;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

import com.google.protobuf.MessageLite;
import io.grpc.CallOptions;
import io.grpc.ChannelCredentials;
import io.grpc.ClientCall;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.TlsChannelCredentials;
import org.jspecify.annotations.Nullable;

/** Calls any method with any bytes over one channel, and tells how the call ended. */
final class TourClient implements AutoCloseable {

	private final ManagedChannel channel;

	private TourClient(int port, ChannelCredentials credentials) {
		this.channel = Grpc.newChannelBuilder("127.0.0.1:" + port, credentials).build();
	}

	static TourClient mutualTls(int port, Path directory) {
		return tls(port, directory.resolve("ca.pem").toFile(), directory.resolve("client.pem").toFile(),
				directory.resolve("client-key.pem").toFile());
	}

	static TourClient tls(int port, File authority, @Nullable File certificate, @Nullable File key) {
		try {
			TlsChannelCredentials.Builder credentials = TlsChannelCredentials.newBuilder().trustManager(authority);
			if (certificate != null && key != null) {
				credentials.keyManager(certificate, key);
			}
			return new TourClient(port, credentials.build());
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
	}

	static TourClient plaintext(int port) {
		return new TourClient(port, InsecureChannelCredentials.create());
	}

	/** A header that carries a credential. */
	record Header(String name, String value) {

		static Header authorization(String value) {
			return new Header("authorization", value);
		}

	}

	/** How a call ended. */
	record Result(Status status, Metadata trailers, int replies) {

		Status.Code code() {
			return this.status.getCode();
		}

		@Nullable String trailer(String name) {
			return this.trailers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
		}

	}

	Result call(String method, List<Header> credentials, MessageLite... messages) {
		List<byte[]> bytes = new ArrayList<>();
		for (MessageLite message : messages) {
			bytes.add(message.toByteArray());
		}
		return callWithBytes(method, credentials, bytes);
	}

	Result callWithBytes(String method, List<Header> credentials, List<byte[]> messages) {
		ClientCall<byte[], byte[]> call = this.channel.newCall(descriptor(method),
				CallOptions.DEFAULT.withDeadlineAfter(10, TimeUnit.SECONDS));
		Metadata headers = new Metadata();
		credentials.forEach((header) -> headers.put(Metadata.Key.of(header.name(), Metadata.ASCII_STRING_MARSHALLER),
				header.value()));
		CompletableFuture<Result> result = new CompletableFuture<>();
		call.start(new ClientCall.Listener<>() {

			private int replies;

			@Override
			public void onMessage(byte[] message) {
				this.replies++;
				call.request(1);
			}

			@Override
			public void onClose(Status status, Metadata trailers) {
				result.complete(new Result(status, trailers, this.replies));
			}
		}, headers);
		call.request(1);
		messages.forEach(call::sendMessage);
		call.halfClose();
		try {
			return result.get(15, TimeUnit.SECONDS);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
			throw new IllegalStateException("Interrupted", ex);
		}
		catch (ExecutionException | TimeoutException ex) {
			throw new IllegalStateException("The call did not end", ex);
		}
	}

	private static MethodDescriptor<byte[], byte[]> descriptor(String method) {
		return MethodDescriptor.<byte[], byte[]>newBuilder()
			.setType(MethodDescriptor.MethodType.BIDI_STREAMING)
			.setFullMethodName(method)
			.setRequestMarshaller(Bytes.INSTANCE)
			.setResponseMarshaller(Bytes.INSTANCE)
			.build();
	}

	@Override
	public void close() {
		this.channel.shutdownNow();
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
