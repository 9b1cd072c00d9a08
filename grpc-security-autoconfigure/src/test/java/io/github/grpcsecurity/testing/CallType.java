package io.github.grpcsecurity.testing;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;

/**
 * The four call types, each with a call that sends the given texts and reports how it
 * ended: what holds for one must hold for all.
 */
public enum CallType {

	UNARY("testing.Echo/Unary", MethodType.UNARY) {
		@Override
		void call(EchoGrpc.EchoStub stub, List<EchoRequest> requests, StreamObserver<EchoReply> replies) {
			stub.unary(requests.get(0), replies);
		}
	},
	SERVER_STREAM("testing.Echo/ServerStream", MethodType.SERVER_STREAMING) {
		@Override
		void call(EchoGrpc.EchoStub stub, List<EchoRequest> requests, StreamObserver<EchoReply> replies) {
			stub.serverStream(requests.get(0), replies);
		}
	},
	CLIENT_STREAM("testing.Echo/ClientStream", MethodType.CLIENT_STREAMING) {
		@Override
		void call(EchoGrpc.EchoStub stub, List<EchoRequest> requests, StreamObserver<EchoReply> replies) {
			send(stub.clientStream(replies), requests.iterator());
		}
	},
	BIDI("testing.Echo/Bidi", MethodType.BIDI_STREAMING) {
		@Override
		void call(EchoGrpc.EchoStub stub, List<EchoRequest> requests, StreamObserver<EchoReply> replies) {
			send(stub.bidi(replies), requests.iterator());
		}
	};

	private final String method;

	private final MethodType grpcType;

	CallType(String method, MethodType grpcType) {
		this.method = method;
		this.grpcType = grpcType;
	}

	/** What gRPC calls this type. */
	public MethodType grpcType() {
		return this.grpcType;
	}

	/** Full name of the method that has this type. */
	public String method() {
		return this.method;
	}

	abstract void call(EchoGrpc.EchoStub stub, List<EchoRequest> requests, StreamObserver<EchoReply> replies);

	private static void send(StreamObserver<EchoRequest> stream, Iterator<EchoRequest> requests) {
		try {
			requests.forEachRemaining(stream::onNext);
			stream.onCompleted();
		}
		catch (IllegalStateException ex) {
			// The server ended the call before everything was sent
		}
	}

	/** Makes a call with one message. */
	public Outcome call(Channel channel) {
		return call(channel, new Metadata(), "hello");
	}

	/** Makes a call with these headers and messages; unary calls send the first only. */
	public Outcome call(Channel channel, Metadata headers, String... texts) {
		List<EchoRequest> requests = new ArrayList<>();
		for (String text : texts) {
			requests.add(EchoRequest.newBuilder().setText(text).build());
		}
		return call(channel, headers, requests);
	}

	/** Makes a call with these headers and messages; unary calls send the first only. */
	public Outcome call(Channel channel, Metadata headers, List<EchoRequest> requests) {
		EchoGrpc.EchoStub stub = EchoGrpc
			.newStub(ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers)))
			.withDeadlineAfter(20, TimeUnit.SECONDS);
		List<EchoReply> replies = new ArrayList<>();
		CountDownLatch done = new CountDownLatch(1);
		Throwable[] failure = new Throwable[1];
		call(stub, requests, new StreamObserver<>() {
			@Override
			public void onNext(EchoReply reply) {
				replies.add(reply);
			}

			@Override
			public void onError(Throwable ex) {
				failure[0] = ex;
				done.countDown();
			}

			@Override
			public void onCompleted() {
				done.countDown();
			}
		});
		try {
			if (!done.await(25, TimeUnit.SECONDS)) {
				throw new AssertionError("The call did not end: " + this);
			}
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
			throw new AssertionError(ex);
		}
		Status status = (failure[0] != null) ? Status.fromThrowable(failure[0]) : Status.OK;
		Metadata trailers = (failure[0] != null) ? Status.trailersFromThrowable(failure[0]) : null;
		return new Outcome(status, (trailers != null) ? trailers : new Metadata(), replies);
	}

	/** How a call ended for its client. */
	public record Outcome(Status status, Metadata trailers, List<EchoReply> replies) {

		public Status.Code code() {
			return this.status.getCode();
		}

	}

}
