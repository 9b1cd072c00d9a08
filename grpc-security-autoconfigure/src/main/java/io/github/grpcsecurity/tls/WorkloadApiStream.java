package io.github.grpcsecurity.tls;

import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.security.cert.X509Certificate;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

import io.github.grpcsecurity.tls.WorkloadApi.Svid;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.ManagedChannelProvider.ProviderNotFoundException;
import io.grpc.Metadata;
import io.grpc.Status;
import io.spiffe.bundle.x509bundle.X509Bundle;
import io.spiffe.exception.SocketEndpointAddressException;
import io.spiffe.exception.X509BundleException;
import io.spiffe.exception.X509SvidException;
import io.spiffe.spiffeid.TrustDomain;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.workloadapi.Address;
import io.spiffe.workloadapi.grpc.SpiffeWorkloadAPIGrpc;
import io.spiffe.workloadapi.grpc.Workload.X509SVID;
import io.spiffe.workloadapi.grpc.Workload.X509SVIDRequest;
import io.spiffe.workloadapi.grpc.Workload.X509SVIDResponse;
import org.jspecify.annotations.Nullable;

/**
 * The part that needs java-spiffe: its stub and its parsers. Not its client, which for
 * good stops to listen when an agent ends the stream or, as SPIRE does until a workload
 * is registered, denies it.
 */
final class WorkloadApiStream implements AutoCloseable {

	/** Proves that no browser was tricked into the request. */
	private static final Metadata.Key<String> HEADER = Metadata.Key.of("workload.spiffe.io",
			Metadata.ASCII_STRING_MARSHALLER);

	private final ManagedChannel channel;

	private final WorkloadApi api;

	WorkloadApiStream(String socket, WorkloadApi api) {
		this.api = api;
		this.channel = channel(socket, address(socket));
	}

	private static URI address(String socket) {
		try {
			URI address = Address.parseAddress(socket);
			if ("tcp".equals(address.getScheme()) && !InetAddress.getByName(address.getHost()).isLoopbackAddress()) {
				throw bad(socket, "that is on another machine, and the Workload API is plaintext", null);
			}
			return address;
		}
		catch (SocketEndpointAddressException | UnknownHostException ex) {
			throw bad(socket, "that is no address of a SPIFFE Workload API", ex);
		}
	}

	private static TlsConfigurationException bad(String socket, String problem, @Nullable Exception cause) {
		String message = WorkloadApi.PROPERTY + " is '" + socket + "', but " + problem + ".";
		String wayOut = "Set it to the socket of the agent on this machine, such as unix:/run/spire/agent.sock or "
				+ "tcp://127.0.0.1:8081.";
		return (cause != null) ? new TlsConfigurationException(message, wayOut, cause)
				: new TlsConfigurationException(message, wayOut);
	}

	private static ManagedChannel channel(String socket, URI address) {
		try {
			ManagedChannelBuilder<?> builder = "tcp".equals(address.getScheme())
					? Grpc.newChannelBuilderForAddress(address.getHost(), address.getPort(),
							InsecureChannelCredentials.create())
					: Grpc.newChannelBuilder("unix:" + address.getPath(), InsecureChannelCredentials.create());
			return builder.proxyDetector((target) -> null).build();
		}
		catch (ProviderNotFoundException ex) {
			throw new TlsConfigurationException(
					WorkloadApi.PROPERTY + " is '" + socket + "', but gRPC cannot connect to such a socket here.",
					"Add io.grpc:grpc-netty-shaded, or with io.grpc:grpc-netty the native epoll transport of Netty "
							+ "for this platform.",
					ex);
		}
	}

	/** Asks once. What comes, and how it ends, is told to the API. */
	void open() {
		ClientCall<X509SVIDRequest, X509SVIDResponse> call = this.channel
			.newCall(SpiffeWorkloadAPIGrpc.getFetchX509SVIDMethod(), CallOptions.DEFAULT);
		Metadata headers = new Metadata();
		headers.put(HEADER, "true");
		call.start(new ClientCall.Listener<>() {

			@Override
			public void onMessage(X509SVIDResponse response) {
				receive(response);
				call.request(1);
			}

			@Override
			public void onClose(Status status, Metadata trailers) {
				WorkloadApiStream.this.api.ended(status.isOk() ? null : status);
			}

		}, headers);
		call.sendMessage(X509SVIDRequest.getDefaultInstance());
		call.halfClose();
		call.request(1);
	}

	private void receive(X509SVIDResponse response) {
		try {
			if (response.getSvidsCount() == 0) {
				throw new IllegalArgumentException("there is no SVID in it");
			}
			Map<String, Set<X509Certificate>> roots = new LinkedHashMap<>();
			for (X509SVID svid : response.getSvidsList()) {
				add(roots, SpiffeId.parse(svid.getSpiffeId()).trustDomain(), svid.getBundle().toByteArray());
			}
			// After its own: nobody else speaks for a domain the server is in
			response.getFederatedBundlesMap()
				.forEach((domain, bundle) -> add(roots, TrustDomain.parse(domain).getName(), bundle.toByteArray()));
			X509SVID own = response.getSvids(0);
			this.api.received(roots, new Svid(own.getX509Svid(), own.getX509SvidKey()));
		}
		catch (RuntimeException ex) {
			this.api.refused(String.valueOf(ex.getMessage()));
		}
	}

	private static void add(Map<String, Set<X509Certificate>> roots, String domain, byte[] bundle) {
		try {
			roots.putIfAbsent(domain,
					Set.copyOf(X509Bundle.parse(TrustDomain.parse(domain), bundle).getX509Authorities()));
		}
		catch (X509BundleException ex) {
			throw new IllegalArgumentException("its trust domain '" + domain + "' has certificates that cannot be read",
					ex);
		}
	}

	static TlsMaterial material(String origin, Svid svid) {
		try {
			X509Svid parsed = X509Svid.parseRaw(svid.chain().toByteArray(), svid.key().toByteArray());
			return new TlsMaterial(origin, parsed.getPrivateKey(), parsed.getChain(), Set.of());
		}
		catch (X509SvidException ex) {
			throw new IllegalArgumentException(ex.getMessage(), ex);
		}
	}

	@Override
	public void close() {
		this.channel.shutdownNow();
	}

}
