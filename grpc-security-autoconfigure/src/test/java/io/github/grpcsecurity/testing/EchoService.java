package io.github.grpcsecurity.testing;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

import io.grpc.stub.StreamObserver;

/**
 * One RPC of each call type. Counts how often user code ran, and lets a test look around
 * inside every callback.
 */
public class EchoService extends EchoGrpc.EchoImplBase {

	/** Times a handler method was entered. */
	public final AtomicInteger entered = new AtomicInteger();

	/** Messages that reached user code. */
	public final AtomicInteger messages = new AtomicInteger();

	/** Runs inside every piece of user code, with the name of the callback. */
	public volatile Consumer<String> probe = (callback) -> {
	};

	@Override
	public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
		this.entered.incrementAndGet();
		this.messages.incrementAndGet();
		this.probe.accept("unary");
		replies.onNext(reply(request.getText(), 1));
		replies.onCompleted();
	}

	@Override
	public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
		this.entered.incrementAndGet();
		this.messages.incrementAndGet();
		this.probe.accept("serverStream");
		for (int i = 1; i <= 3; i++) {
			replies.onNext(reply(request.getText(), i));
		}
		replies.onCompleted();
	}

	@Override
	public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
		this.entered.incrementAndGet();
		this.probe.accept("clientStream");
		return new StreamObserver<>() {

			private final StringBuilder text = new StringBuilder();

			private int count;

			@Override
			public void onNext(EchoRequest request) {
				EchoService.this.messages.incrementAndGet();
				EchoService.this.probe.accept("onNext");
				this.text.append(request.getText());
				this.count++;
			}

			@Override
			public void onError(Throwable ex) {
				EchoService.this.probe.accept("onError");
			}

			@Override
			public void onCompleted() {
				EchoService.this.probe.accept("onCompleted");
				replies.onNext(reply(this.text.toString(), this.count));
				replies.onCompleted();
			}
		};
	}

	@Override
	public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
		this.entered.incrementAndGet();
		this.probe.accept("bidi");
		return new StreamObserver<>() {

			private int count;

			@Override
			public void onNext(EchoRequest request) {
				EchoService.this.messages.incrementAndGet();
				EchoService.this.probe.accept("onNext");
				replies.onNext(reply(request.getText(), ++this.count));
			}

			@Override
			public void onError(Throwable ex) {
				EchoService.this.probe.accept("onError");
			}

			@Override
			public void onCompleted() {
				EchoService.this.probe.accept("onCompleted");
				replies.onCompleted();
			}
		};
	}

	private static EchoReply reply(String text, int count) {
		return EchoReply.newBuilder().setText(text).setCount(count).build();
	}

}
