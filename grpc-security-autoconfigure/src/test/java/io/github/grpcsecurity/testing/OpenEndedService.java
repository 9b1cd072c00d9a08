package io.github.grpcsecurity.testing;

import java.util.concurrent.atomic.AtomicInteger;

import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;

/** One RPC of each call type, none of which ever ends by itself. */
public final class OpenEndedService extends EchoGrpc.EchoImplBase {

	/** Calls that run. */
	public final AtomicInteger open = new AtomicInteger();

	/** Messages that the handlers of client streams were given. */
	public final AtomicInteger messages = new AtomicInteger();

	/** Handlers that were told that their client has gone. */
	public final AtomicInteger cancelled = new AtomicInteger();

	@Override
	public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
		opened(replies);
	}

	@Override
	public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
		opened(replies);
		replies.onNext(EchoReply.newBuilder().setText(request.getText()).build());
	}

	@Override
	public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
		return opened(replies);
	}

	@Override
	public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
		return opened(replies);
	}

	private StreamObserver<EchoRequest> opened(StreamObserver<EchoReply> replies) {
		((ServerCallStreamObserver<EchoReply>) replies).setOnCancelHandler(this.cancelled::incrementAndGet);
		this.open.incrementAndGet();
		return new StreamObserver<>() {
			@Override
			public void onNext(EchoRequest request) {
				OpenEndedService.this.messages.incrementAndGet();
			}

			@Override
			public void onError(Throwable ex) {
			}

			@Override
			public void onCompleted() {
			}
		};
	}

}
