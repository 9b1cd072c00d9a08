package io.github.grpcsecurity.testing;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

import com.google.protobuf.ByteString;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.CertificateBuilder.KeyUsage;
import io.netty.pkitesting.X509Bundle;
import io.spiffe.workloadapi.grpc.SpiffeWorkloadAPIGrpc.SpiffeWorkloadAPIImplBase;
import io.spiffe.workloadapi.grpc.Workload.X509SVID;
import io.spiffe.workloadapi.grpc.Workload.X509SVIDRequest;
import io.spiffe.workloadapi.grpc.Workload.X509SVIDResponse;

/** A SPIFFE agent on the loopback interface that sends what a test says. */
public final class TestWorkloadApi extends SpiffeWorkloadAPIImplBase implements AutoCloseable {

	private static final Metadata.Key<String> HEADER = Metadata.Key.of("workload.spiffe.io",
			Metadata.ASCII_STRING_MARSHALLER);

	/** One for each stream that is open. */
	public final List<StreamObserver<X509SVIDResponse>> streams = new CopyOnWriteArrayList<>();

	/** Sent to who asks; denied if {@code null}. */
	private volatile X509SVIDResponse response;

	private final Server server;

	public TestWorkloadApi() throws Exception {
		this(NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0)));
	}

	public TestWorkloadApi(ServerBuilder<?> builder) throws Exception {
		this.server = builder.addService(this).intercept(new ServerInterceptor() {
			@Override
			public <Q, A> ServerCall.Listener<Q> interceptCall(ServerCall<Q, A> call, Metadata headers,
					ServerCallHandler<Q, A> next) {
				if (!"true".equals(headers.get(HEADER))) {
					call.close(Status.INVALID_ARGUMENT, new Metadata());
					return new ServerCall.Listener<>() {
					};
				}
				return next.startCall(call, headers);
			}
		}).build().start();
	}

	public String socket() {
		return "tcp://127.0.0.1:" + this.server.getPort();
	}

	/** Makes a response out of the server's own SVID and the root of its domain. */
	public static X509SVIDResponse response(TestCertificates authority, String id, X509Bundle svid,
			Consumer<X509SVIDResponse.Builder> customizer) {
		X509SVIDResponse.Builder response = X509SVIDResponse.newBuilder()
			.addSvids(X509SVID.newBuilder()
				.setSpiffeId(id)
				.setX509Svid(der(svid))
				.setX509SvidKey(ByteString.copyFrom(svid.getKeyPair().getPrivate().getEncoded()))
				.setBundle(der(authority.ca())));
		customizer.accept(response);
		return response.build();
	}

	/** Issues an SVID for a client or a server, for whose address clients look. */
	public static X509Bundle svid(TestCertificates authority, String id) {
		try {
			return new CertificateBuilder().ecp256()
				.subject("CN=workload")
				.addSanUriName(id)
				.addSanIpAddress("127.0.0.1")
				.setKeyUsage(true, KeyUsage.digitalSignature)
				.addExtendedKeyUsageClientAuth()
				.addExtendedKeyUsageServerAuth()
				.buildIssuedBy(authority.ca());
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	public static ByteString der(X509Bundle bundle) {
		try {
			return ByteString.copyFrom(bundle.getCertificate().getEncoded());
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	/** Sends this to all who listen, and to all who come. */
	public void send(X509SVIDResponse response) {
		this.response = response;
		this.streams.forEach((stream) -> stream.onNext(response));
	}

	@Override
	public void fetchX509SVID(X509SVIDRequest request, StreamObserver<X509SVIDResponse> stream) {
		X509SVIDResponse present = this.response;
		if (present == null) {
			stream.onError(Status.PERMISSION_DENIED.withDescription("no identity issued").asException());
			return;
		}
		stream.onNext(present);
		this.streams.add(stream);
	}

	/** Whether the client is gone. */
	public static boolean isCancelled(StreamObserver<?> stream) {
		return ((ServerCallStreamObserver<?>) stream).isCancelled();
	}

	/** Ends all streams, well or badly. */
	public void end(Status status) {
		List<StreamObserver<X509SVIDResponse>> open = List.copyOf(this.streams);
		this.streams.clear();
		for (StreamObserver<X509SVIDResponse> stream : open) {
			if (status.isOk()) {
				stream.onCompleted();
			}
			else {
				stream.onError(status.asException());
			}
		}
	}

	@Override
	public void close() throws Exception {
		this.server.shutdownNow().awaitTermination();
	}

}
