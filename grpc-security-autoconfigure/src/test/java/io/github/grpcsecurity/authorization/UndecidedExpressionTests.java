package io.github.grpcsecurity.authorization;

import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.BindableService;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.context.support.StaticApplicationContext;
import org.springframework.security.access.AccessDeniedException;
import org.springframework.security.access.PermissionEvaluator;
import org.springframework.security.access.prepost.PreAuthorize;
import org.springframework.security.authentication.BadCredentialsException;
import org.springframework.security.core.Authentication;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Tests for expressions that ask somebody who cannot answer, and for those that are taken
 * apart.
 */
class UndecidedExpressionTests {

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			value = { "@bank.down()|UNAVAILABLE|UNAVAILABLE", "@bank.downChecked()|UNAVAILABLE|UNAVAILABLE",
					"@bank.broken|UNAVAILABLE|UNAVAILABLE", "hasRole('B') or @bank.down()|UNAVAILABLE|UNAVAILABLE",
					"hasPermission('x', 'read')|UNAVAILABLE|UNAVAILABLE",
					"@bank.denies()|PERMISSION_DENIED|UNAUTHENTICATED",
					"@bank.unknownCaller()|UNAUTHENTICATED|UNAUTHENTICATED",
					"@bank.nothing()|PERMISSION_DENIED|UNAUTHENTICATED",
					"@bank.name().length() > authentication.details.size|PERMISSION_DENIED|UNAUTHENTICATED",
					"authentication.details.size > 1|PERMISSION_DENIED|UNAUTHENTICATED",
					"authentication.name.substring(99) == ''|PERMISSION_DENIED|UNAUTHENTICATED",
					"hasRole('B') and @bank.down()|PERMISSION_DENIED|UNAUTHENTICATED" })
	void callWhenExpressionOfRuleAsksThenOnlyFailuresOfOthersAreUnavailable(String access, Code known, Code anonymous) {
		EchoService service = new EchoService();
		try (TestServer server = serve(service, (builder) -> builder.rule("**", access))) {
			for (CallType type : CallType.values()) {
				assertThat(type.call(server.channel(), Caller.with("ROLE_A"), "hello").code()).as("%s", type)
					.isEqualTo(known);
				assertThat(type.call(server.channel()).code()).as("%s", type).isEqualTo(anonymous);
			}
			assertThat(service.entered).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAnnotationAsksBeanThatFailsThenUnavailable(CallType type) {
		EchoService service = new Asking();
		try (TestServer server = serve(service, (builder) -> {
		})) {
			assertThat(type.call(server.channel(), Caller.with("ROLE_A"), "down").code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(type.call(server.channel(), Caller.with("ROLE_A"), "no").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(service.entered).hasValue(0);
			assertThat(type.call(server.channel(), Caller.with("ROLE_A"), "yes").code()).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenPartDoesNotLookAtMessageThenDecidedBeforeAnyMessage(CallType type) {
		EchoService service = new Joined();
		try (TestServer server = serve(service, (builder) -> {
		})) {
			// No message is ever sent, and none is waited for
			RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), Caller.with("ROLE_A"));

			assertThat(call.await().status().getCode()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(service.entered).hasValue(0);
			assertThat(type.call(server.channel(), Caller.with("ROLE_TELLER"), "long text").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(type.call(server.channel(), Caller.with("ROLE_TELLER"), "text").code()).isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenPartDoesNotLookAtMessageThenAskedOnceForTheWholeStream() {
		AtomicInteger asked = new AtomicInteger();
		class Service extends EchoService {

			@Override
			@PreAuthorize("#request.text != 'x' and (@bank.count() and hasRole('A'))")
			public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
				return super.bidi(replies);
			}

		}
		try (TestServer server = serve(new Service(), (builder) -> {
		}, asked)) {
			assertThat(CallType.BIDI.call(server.channel(), Caller.with("ROLE_A"), "a", "b", "c").code())
				.isEqualTo(Code.OK);
			assertThat(asked).hasValue(1);
		}
	}

	@Test
	void callWhenPartIsNoTruthValueThenDeniedAsIfJoined() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("hasRole('A') and @bank.nothing()")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

			@Override
			@PreAuthorize("hasRole('A') and @bank.manager()")
			public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.serverStream(request, replies);
			}

		}
		try (TestServer server = serve(new Service(), (builder) -> {
		})) {
			for (CallType type : List.of(CallType.UNARY, CallType.SERVER_STREAM)) {
				assertThat(type.call(server.channel(), Caller.with("ROLE_A"), "hello").code())
					.isEqualTo(Code.PERMISSION_DENIED);
			}
		}
	}

	private static TestServer serve(BindableService service, Consumer<AuthorizationStage.Builder> customizer) {
		return serve(service, customizer, new AtomicInteger());
	}

	private static TestServer serve(BindableService service, Consumer<AuthorizationStage.Builder> customizer,
			AtomicInteger asked) {
		StaticApplicationContext context = new StaticApplicationContext();
		context.getBeanFactory().registerSingleton("bank", new Bank(asked));
		AuthorizationStage.Builder builder = AuthorizationStage.builder()
			.applicationContext(context)
			.permissionEvaluator(new Down());
		customizer.accept(builder);
		return TestServer.inProcess(service, List.of(Caller.authentication(), builder.build()));
	}

	static class Asking extends EchoService {

		@Override
		@PreAuthorize("@bank.open(#request.text)")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

		@Override
		@PreAuthorize("@bank.open(#request.text)")
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.serverStream(request, replies);
		}

		@Override
		@PreAuthorize("@bank.open(#request.text)")
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			return super.clientStream(replies);
		}

		@Override
		@PreAuthorize("@bank.open(#request.text)")
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			return super.bidi(replies);
		}

	}

	static class Joined extends EchoService {

		@Override
		@PreAuthorize("hasRole('TELLER') and #request.text.length() < 5")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

		@Override
		@PreAuthorize("#request.text.length() < 5 and hasRole('TELLER')")
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.serverStream(request, replies);
		}

		@Override
		@PreAuthorize("hasRole('TELLER') and isAuthenticated() and #request.text.length() < 5")
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			return super.clientStream(replies);
		}

		@Override
		@PreAuthorize("(hasRole('TELLER') && #request.text.length() < 5)")
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			return super.bidi(replies);
		}

	}

	/** Answers, or fails to. */
	public static class Bank {

		private final AtomicInteger asked;

		Bank(AtomicInteger asked) {
			this.asked = asked;
		}

		public boolean open(String text) {
			if (text.equals("down")) {
				throw new IllegalStateException("database is down");
			}
			return text.equals("yes");
		}

		public boolean count() {
			this.asked.incrementAndGet();
			return true;
		}

		public boolean down() {
			throw new IllegalStateException("database is down");
		}

		public boolean downChecked() throws java.io.IOException {
			throw new java.io.IOException("database is down");
		}

		public boolean isBroken() {
			throw new IllegalStateException("database is down");
		}

		public boolean denies() {
			throw new AccessDeniedException("no");
		}

		public boolean unknownCaller() {
			throw new BadCredentialsException("who?");
		}

		public Boolean nothing() {
			return null;
		}

		public String name() {
			return "bank";
		}

		public Object manager() {
			return (org.springframework.security.authorization.AuthorizationManager<Object>) (authentication,
					object) -> new org.springframework.security.authorization.AuthorizationDecision(true);
		}

	}

	private static final class Down implements PermissionEvaluator {

		@Override
		public boolean hasPermission(Authentication authentication, Object target, Object permission) {
			throw new IllegalStateException("database is down");
		}

		@Override
		public boolean hasPermission(Authentication authentication, java.io.Serializable id, String type,
				Object permission) {
			throw new IllegalStateException("database is down");
		}

	}

}
