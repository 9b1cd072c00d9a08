package io.github.grpcsecurity.benchmarks;

import java.util.concurrent.Executor;

import io.github.grpcsecurity.benchmarks.proto.EchoGrpc;
import io.github.grpcsecurity.benchmarks.proto.EchoMessage;
import io.grpc.stub.StreamObserver;
import net.devh.boot.grpc.server.serverfactory.GrpcServerConfigurer;
import net.devh.boot.grpc.server.service.GrpcService;

import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.annotation.Bean;
import org.springframework.security.access.prepost.PreAuthorize;

/** A server that does nothing but what it takes to be called. */
@SpringBootConfiguration
@EnableAutoConfiguration
public class EchoApplication {

	@Bean
	GrpcServerConfigurer callsRunOnTheThreadOfTheirClient() {
		return (builder) -> builder.executor((Executor) Runnable::run);
	}

	@Bean
	@GrpcService
	EchoService echoService() {
		return new EchoService();
	}

	public static class EchoService extends EchoGrpc.EchoImplBase {

		@Override
		@PreAuthorize("hasAuthority('SCOPE_read')")
		public void unary(EchoMessage request, StreamObserver<EchoMessage> replies) {
			replies.onNext(request);
			replies.onCompleted();
		}

	}

}
