package io.github.grpcsecurity.tls;

import io.grpc.ForwardingServerBuilder;
import io.grpc.ServerBuilder;
import io.grpc.inprocess.InProcessServerBuilder;

/** A builder of some other transport. */
final class OtherServerBuilder extends ForwardingServerBuilder<OtherServerBuilder> {

	@Override
	protected ServerBuilder<?> delegate() {
		return InProcessServerBuilder.forName("other");
	}

}
