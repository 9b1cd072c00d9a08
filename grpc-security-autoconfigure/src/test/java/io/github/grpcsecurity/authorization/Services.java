package io.github.grpcsecurity.authorization;

import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;

import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.grpc.BindableService;
import io.grpc.ServerServiceDefinition;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import jakarta.annotation.security.DenyAll;
import jakarta.annotation.security.PermitAll;
import jakarta.annotation.security.RolesAllowed;

import org.springframework.core.annotation.AliasFor;
import org.springframework.security.access.annotation.Secured;
import org.springframework.security.access.prepost.PreAuthorize;

/**
 * Services with security annotations in all the places where people put them.
 */
final class Services {

	private Services() {
	}

	/** Overrides all four methods so that subclasses can annotate them. */
	static class Annotated extends EchoService {

		@Override
		@PreAuthorize("hasRole('TELLER')")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

		@Override
		@PreAuthorize("hasRole('TELLER')")
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.serverStream(request, replies);
		}

		@Override
		@PreAuthorize("hasRole('TELLER')")
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			return super.clientStream(replies);
		}

		@Override
		@PreAuthorize("hasRole('TELLER')")
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			replies.onNext(EchoReply.newBuilder().setText("pushed before anything was asked").build());
			return super.bidi(replies);
		}

	}

	static class AnnotatedMessages extends EchoService {

		@Override
		@PreAuthorize("#request.amount <= 10")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

		@Override
		@PreAuthorize("#p0.amount <= 10 and isAuthenticated()")
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.serverStream(request, replies);
		}

		@Override
		@PreAuthorize("#request.amount <= 10")
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			return super.clientStream(replies);
		}

		@Override
		@PreAuthorize("#message.amount <= 10")
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			return super.bidi(replies);
		}

	}

	static class FinalMethod extends EchoService {

		@Override
		@PreAuthorize("hasRole('TELLER')")
		public final void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

	}

	/** As a generator would bind it that is not gRPC's own. */
	static class HandWritten implements BindableService {

		private final EchoService echo = new EchoService();

		@PreAuthorize("hasRole('TELLER')")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			this.echo.unary(request, replies);
		}

		@Override
		public ServerServiceDefinition bindService() {
			return ServerServiceDefinition.builder(EchoGrpc.SERVICE_NAME)
				.addMethod(EchoGrpc.getUnaryMethod(), ServerCalls.asyncUnaryCall(this::unary))
				.build();
		}

	}

	@PreAuthorize("hasRole('TELLER')")
	static class HandWrittenWithClassAnnotation implements BindableService {

		private final EchoService echo = new EchoService();

		@Override
		public ServerServiceDefinition bindService() {
			return ServerServiceDefinition.builder(EchoGrpc.SERVICE_NAME)
				.addMethod(EchoGrpc.getUnaryMethod(), ServerCalls.asyncUnaryCall(this.echo::unary))
				.build();
		}

	}

	static class HandWrittenWithLostAnnotation implements BindableService {

		private final EchoService echo = new EchoService();

		@PreAuthorize("hasRole('TELLER')")
		public void answer(EchoRequest request, StreamObserver<EchoReply> replies) {
			this.echo.unary(request, replies);
		}

		@Override
		public ServerServiceDefinition bindService() {
			return ServerServiceDefinition.builder(EchoGrpc.SERVICE_NAME)
				.addMethod(EchoGrpc.getUnaryMethod(), ServerCalls.asyncUnaryCall(this::answer))
				.build();
		}

	}

	/** Binds another method than the one of its name. */
	static class HandWrittenWithSubstitute extends HandWrittenWithHidden {

		@PermitAll
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			throw new IllegalStateException("not bound");
		}

		@PreAuthorize("hasRole('MANAGER')")
		public void secretUnary(EchoRequest request, StreamObserver<EchoReply> replies) {
			this.echo.unary(request, replies);
		}

		@Override
		void bound(EchoRequest request, StreamObserver<EchoReply> replies) {
			secretUnary(request, replies);
		}

	}

	/** Has its annotation where no proxy would see it either. */
	static class HandWrittenWithPrivate extends HandWrittenWithHidden {

		@PreAuthorize("hasRole('MANAGER')")
		private void hidden(EchoRequest request, StreamObserver<EchoReply> replies) {
			this.echo.unary(request, replies);
		}

		@Override
		void bound(EchoRequest request, StreamObserver<EchoReply> replies) {
			hidden(request, replies);
		}

	}

	abstract static class HandWrittenWithHidden implements BindableService {

		final EchoService echo = new EchoService();

		abstract void bound(EchoRequest request, StreamObserver<EchoReply> replies);

		@Override
		public ServerServiceDefinition bindService() {
			return ServerServiceDefinition.builder(EchoGrpc.SERVICE_NAME)
				.addMethod(EchoGrpc.getUnaryMethod(), ServerCalls.asyncUnaryCall(this::bound))
				.build();
		}

	}

	/** Binds the methods of somebody else. */
	static class Facade implements BindableService {

		@Override
		public ServerServiceDefinition bindService() {
			return new EchoService().bindService();
		}

	}

	/** What a JDK proxy shows of a service. */
	interface EchoOperations extends BindableService {

		void unary(EchoRequest request, StreamObserver<EchoReply> replies);

	}

	static class InterfaceBased implements EchoOperations {

		private final EchoService echo = new EchoService();

		@Override
		@PreAuthorize("hasRole('TELLER')")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			this.echo.unary(request, replies);
		}

		@Override
		public ServerServiceDefinition bindService() {
			return ServerServiceDefinition.builder(EchoGrpc.SERVICE_NAME)
				.addMethod(EchoGrpc.getUnaryMethod(), ServerCalls.asyncUnaryCall(this::unary))
				.build();
		}

	}

	@PreAuthorize("hasRole('TELLER')")
	static class ClassLevel extends EchoService {

		@Override
		@PreAuthorize("hasRole('MANAGER')")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

	}

	static class InheritsMethodAnnotations extends Annotated {

		@Override
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

	}

	@Retention(RetentionPolicy.RUNTIME)
	@PreAuthorize("hasRole('{value}')")
	@interface OnlyFor {

		@AliasFor("role")
		String value() default "";

		@AliasFor("value")
		String role() default "";

	}

	@OnlyFor("AUDITOR")
	static class Template extends EchoService {

		@Override
		@OnlyFor("TELLER")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

	}

	static class OtherAnnotations extends EchoService {

		@Override
		@Secured("ROLE_TELLER")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

		@Override
		@RolesAllowed("TELLER")
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.serverStream(request, replies);
		}

		@Override
		@PermitAll
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			return super.clientStream(replies);
		}

		@Override
		@DenyAll
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			return super.bidi(replies);
		}

	}

	static class TwoKinds extends EchoService {

		@Override
		@Secured("ROLE_TELLER")
		@PreAuthorize("hasAuthority('SCOPE_write')")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

	}

}
