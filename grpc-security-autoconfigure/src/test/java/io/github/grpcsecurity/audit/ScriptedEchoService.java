package io.github.grpcsecurity.audit;

import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;

import io.github.grpcsecurity.server.SecuredCall;

/** Echoes, or does what the header {@code behave} of the call says. */
class ScriptedEchoService extends EchoService {

	static final Metadata.Key<String> BEHAVE = Metadata.Key.of("behave", Metadata.ASCII_STRING_MARSHALLER);

	@Override
	public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
		if (behaves(replies)) {
			super.unary(request, replies);
		}
	}

	@Override
	public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
		if (behaves(replies)) {
			super.serverStream(request, replies);
		}
	}

	@Override
	public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
		return behaves(replies) ? super.clientStream(replies) : new Silence();
	}

	@Override
	public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
		return behaves(replies) ? super.bidi(replies) : new Silence();
	}

	private boolean behaves(StreamObserver<EchoReply> replies) {
		SecuredCall call = SecuredCall.current();
		String behaviour = (call != null) ? call.headers().get(BEHAVE) : null;
		if (behaviour == null) {
			return true;
		}
		switch (behaviour) {
			case "throw" -> throw new IllegalStateException("a secret of the handler");
			case "throw-status" -> throw Status.FAILED_PRECONDITION.asRuntimeException();
			case "error" ->
				replies.onError(Status.NOT_FOUND.withDescription("row 7 in pg 10.0.0.1").asRuntimeException());
			case "hang" -> {
				this.entered.incrementAndGet();
			}
			default -> throw new IllegalArgumentException(behaviour);
		}
		return false;
	}

	/** Reads and says nothing. */
	private static final class Silence implements StreamObserver<EchoRequest> {

		@Override
		public void onNext(EchoRequest request) {
		}

		@Override
		public void onError(Throwable ex) {
		}

		@Override
		public void onCompleted() {
		}

	}

}
