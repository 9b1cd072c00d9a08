package io.github.grpcsecurity.benchmarks;

import io.github.grpcsecurity.benchmarks.proto.EchoGrpc;
import io.github.grpcsecurity.benchmarks.proto.EchoMessage;
import io.grpc.stub.StreamObserver;
import jakarta.annotation.security.PermitAll;
import net.devh.boot.grpc.server.service.GrpcService;

import org.springframework.security.access.prepost.PreAuthorize;

/** The services that are measured, one for each application. */
final class EchoServices {

	private EchoServices() {
	}

	@GrpcService
	public static class Annotated extends EchoGrpc.EchoImplBase {

		@Override
		@PreAuthorize("hasAuthority('SCOPE_read')")
		public void unary(EchoMessage request, StreamObserver<EchoMessage> replies) {
			replies.onNext(request);
			replies.onCompleted();
		}

	}

	@GrpcService
	public static class Open extends EchoGrpc.EchoImplBase {

		@Override
		@PermitAll
		public void unary(EchoMessage request, StreamObserver<EchoMessage> replies) {
			replies.onNext(request);
			replies.onCompleted();
		}

	}

}
