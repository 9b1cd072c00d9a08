package io.github.grpcsecurity.testing;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.SecuredCall;
import io.grpc.Status;

/** Keeps what observers are told. */
public final class RecordingObserver implements CallObserver {

	public record Decided(SecuredCall call, CallDecision decision) {
	}

	public record Closed(SecuredCall call, Status status) {
	}

	public final List<Decided> decided = new CopyOnWriteArrayList<>();

	public final List<Closed> closed = new CopyOnWriteArrayList<>();

	@Override
	public void decided(SecuredCall call, CallDecision decision) {
		this.decided.add(new Decided(call, decision));
	}

	@Override
	public void closed(SecuredCall call, Status status) {
		this.closed.add(new Closed(call, status));
	}

}
