package io.github.grpcsecurity.authorization;

import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.grpc.MethodDescriptor;
import io.grpc.stub.StreamObserver;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import org.springframework.security.access.prepost.PreAuthorize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/**
 * Tests for {@link JavaMethod}.
 */
class JavaMethodTests {

	@ParameterizedTest
	@CsvSource({ "Unary,unary", "get_account,getAccount", "GetURL,getURL", "Import,import_", "New,new_", "X,x" })
	void generatedNameWhenRpcNameThenAsProtocWritesIt(String rpc, String expected) {
		assertThat(JavaMethod.generatedName(rpc)).isEqualTo(expected);
	}

	@Test
	void findWhenGeneratedSignaturesThenFindsAllFour() {
		EchoService service = new EchoService();

		assertThat(find(EchoGrpc.getUnaryMethod(), service).takesMessage()).isTrue();
		assertThat(find(EchoGrpc.getServerStreamMethod(), service).takesMessage()).isTrue();
		assertThat(find(EchoGrpc.getClientStreamMethod(), service).takesMessage()).isFalse();
		assertThat(find(EchoGrpc.getBidiMethod(), service).takesMessage()).isFalse();
		assertThat(find(EchoGrpc.getBidiMethod(), service).method().getDeclaringClass()).isEqualTo(EchoService.class);
	}

	@Test
	void findWhenMethodIsNotImplementedThenFindsTheGeneratedOne() {
		EchoGrpc.EchoImplBase service = new EchoGrpc.EchoImplBase() {
		};

		assertThat(find(EchoGrpc.getUnaryMethod(), service).method().getDeclaringClass())
			.isEqualTo(EchoGrpc.AsyncService.class);
	}

	@Test
	void findWhenKotlinSignaturesThenFindsThem() {
		class Service {

			Object unary(EchoRequest request, kotlin.coroutines.Continuation<? super EchoReply> continuation) {
				return request;
			}

			Flow<EchoReply> serverStream(EchoRequest request) {
				return new Flow<>();
			}

			Object clientStream(Flow<EchoRequest> requests,
					kotlin.coroutines.Continuation<? super EchoReply> continuation) {
				return requests;
			}

			Flow<EchoReply> bidi(Flow<EchoRequest> requests) {
				return new Flow<>();
			}

		}
		Service service = new Service();

		assertThat(find(EchoGrpc.getUnaryMethod(), service).takesMessage()).isTrue();
		assertThat(find(EchoGrpc.getServerStreamMethod(), service).takesMessage()).isTrue();
		assertThat(find(EchoGrpc.getClientStreamMethod(), service).method()).isNotNull();
		assertThat(find(EchoGrpc.getBidiMethod(), service).method()).isNotNull();
	}

	@Test
	void findWhenReactorOverloadIsAnnotatedThenFindsIt() {
		class Base {

			public Flow<EchoReply> unary(EchoRequest request) {
				return new Flow<>();
			}

			public Flow<EchoReply> unary(Flow<EchoRequest> request) {
				return new Flow<>();
			}

		}
		class Service extends Base {

			@Override
			@PreAuthorize("permitAll")
			public Flow<EchoReply> unary(Flow<EchoRequest> request) {
				return new Flow<>();
			}

		}

		JavaMethod found = find(EchoGrpc.getUnaryMethod(), new Service());

		assertThat(found.method().getParameterTypes()).containsExactly(Flow.class);
		assertThat(found.takesMessage()).isFalse();
	}

	@Test
	void findWhenGenericMethodIsOverriddenThenThereIsOneCandidate() {
		abstract class Base<T> {

			@PreAuthorize("denyAll")
			public void unary(T request, StreamObserver<EchoReply> replies) {
			}

		}
		class Service extends Base<EchoRequest> {

			@Override
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			}

		}

		assertThat(find(EchoGrpc.getUnaryMethod(), new Service()).method().getDeclaringClass())
			.isEqualTo(Service.class);
	}

	@Test
	void findWhenOverloadsAreAmbiguousAndOneIsAnnotatedThenFails() {
		class Service {

			@PreAuthorize("hasRole('A')")
			public EchoReply unary(EchoRequest request) {
				return EchoReply.getDefaultInstance();
			}

			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			}

		}

		assertThatExceptionOfType(UnenforceableAnnotationException.class)
			.isThrownBy(() -> find(EchoGrpc.getUnaryMethod(), new Service()))
			.withMessageContaining("Several methods may implement testing.Echo/Unary")
			.withMessageContaining("unary(EchoRequest)")
			.withMessageContaining("unary(EchoRequest, StreamObserver<EchoReply>)")
			.satisfies((ex) -> assertThat(ex.action()).contains("another name"));
	}

	@Test
	void findWhenOverloadHasOtherTypesThenIgnoresIt() {
		class Service {

			@PreAuthorize("hasRole('A')")
			public void unary(EchoReply reply, StreamObserver<EchoReply> replies) {
			}

			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			}

		}

		assertThat(find(EchoGrpc.getUnaryMethod(), new Service()).method().getParameterTypes()[0])
			.isEqualTo(EchoRequest.class);
	}

	@Test
	void findWhenThereIsNoBeanThenNothing() {
		assertThat(
				JavaMethod.find(new SecuredMethod(EchoGrpc.getUnaryMethod(), null, null), MethodAnnotations::annotated))
			.isNull();
	}

	private static JavaMethod find(MethodDescriptor<?, ?> rpc, Object bean) {
		@Nullable JavaMethod found = JavaMethod.find(new SecuredMethod(rpc, bean, "echo"), MethodAnnotations::annotated);
		assertThat(found).isNotNull();
		return found;
	}

	/** Stands for Kotlin's Flow and Reactor's Mono and Flux. */
	static class Flow<T> {

	}

}
