package io.github.grpcsecurity.authentication.live;

import io.github.grpcsecurity.server.SecuredCall;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

import java.util.function.Consumer;

/**
 * A call that is open: a link of a list, and what takes it out again when the call ends.
 */
final class OpenCall implements Consumer<Status> {

	final SecuredCall call;

	/** Milliseconds of the epoch; {@link OpenCalls#NEVER} if it does not run out. */
	final long deadline;

	private final OpenCalls owner;

	// Guarded by owner
	@Nullable OpenCall previous;

	// Guarded by owner
	@Nullable OpenCall next;

	OpenCall(SecuredCall call, long deadline, OpenCalls owner) {
		this.call = call;
		this.deadline = deadline;
		this.owner = owner;
	}

	@Override
	public void accept(Status status) {
		this.owner.remove(this);
	}

}
