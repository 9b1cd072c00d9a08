package io.github.grpcsecurity.testing;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.security.SecureRandom;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

import com.google.protobuf.ByteString;
import io.grpc.ServerCredentials;
import io.grpc.Status;
import io.grpc.alts.AltsChannelCredentials;
import io.grpc.alts.AltsServerCredentials;
import io.grpc.alts.internal.HandshakerReq;
import io.grpc.alts.internal.HandshakerResp;
import io.grpc.alts.internal.HandshakerResult;
import io.grpc.alts.internal.HandshakerServiceGrpc;
import io.grpc.alts.internal.HandshakerStatus;
import io.grpc.alts.internal.Identity;
import io.grpc.alts.internal.RpcProtocolVersions;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;

/**
 * A handshaker service on loopback, in place of the one that Google Cloud runs: gives
 * both sides of a connection the same random key, and tells each who the other is.
 */
public final class AltsHandshaker implements AutoCloseable {

	private static final int FRAME_LENGTH = 16;

	private static final int KEY_LENGTH = 44;

	private final SecureRandom random = new SecureRandom();

	/** What was agreed on in the handshakes that clients began, by their first frame. */
	private final Map<ByteString, ByteString> keys = new ConcurrentHashMap<>();

	private final String clientAccount;

	private final String serverAccount;

	private final io.grpc.Server server;

	public AltsHandshaker(String clientAccount, String serverAccount) {
		this.clientAccount = clientAccount;
		this.serverAccount = serverAccount;
		try {
			// On the other Netty: ALTS blocks the threads of shaded Netty while it shakes
			// hands
			this.server = NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
				.addService(new Service())
				.build()
				.start();
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
	}

	private String address() {
		return "127.0.0.1:" + this.server.getPort();
	}

	public ServerCredentials serverCredentials() {
		return AltsServerCredentials.newBuilder()
			.enableUntrustedAltsForTesting()
			.setHandshakerAddressForTesting(address())
			.build();
	}

	public io.grpc.ChannelCredentials channelCredentials() {
		return new AltsChannelCredentials.Builder().enableUntrustedAltsForTesting()
			.setHandshakerAddressForTesting(address())
			.build();
	}

	@Override
	public void close() {
		this.server.shutdownNow();
		try {
			this.server.awaitTermination(10, TimeUnit.SECONDS);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
	}

	private ByteString randomBytes(int length) {
		byte[] bytes = new byte[length];
		this.random.nextBytes(bytes);
		return ByteString.copyFrom(bytes);
	}

	private HandshakerResp clientStart(Handshake handshake) {
		ByteString frame = randomBytes(FRAME_LENGTH);
		handshake.key = randomBytes(KEY_LENGTH);
		this.keys.put(frame, handshake.key);
		return ok().setOutFrames(frame).build();
	}

	private HandshakerResp serverStart(ByteString in) {
		ByteString key = (in.size() >= FRAME_LENGTH) ? this.keys.remove(in.substring(0, FRAME_LENGTH)) : null;
		if (key == null) {
			return refused();
		}
		return ok().setOutFrames(randomBytes(FRAME_LENGTH))
			.setBytesConsumed(FRAME_LENGTH)
			.setResult(result(key, this.clientAccount, this.serverAccount))
			.build();
	}

	private HandshakerResp clientNext(Handshake handshake, ByteString in) {
		if (handshake.key == null || in.size() < FRAME_LENGTH) {
			return refused();
		}
		return ok().setBytesConsumed(FRAME_LENGTH)
			.setResult(result(handshake.key, this.serverAccount, this.clientAccount))
			.build();
	}

	private static HandshakerResp.Builder ok() {
		return HandshakerResp.newBuilder()
			.setStatus(HandshakerStatus.newBuilder().setCode(Status.Code.OK.value()).build());
	}

	private static HandshakerResp refused() {
		return HandshakerResp.newBuilder()
			.setStatus(HandshakerStatus.newBuilder()
				.setCode(Status.Code.INVALID_ARGUMENT.value())
				.setDetails("unknown frame")
				.build())
			.build();
	}

	private static HandshakerResult result(ByteString key, String peer, String local) {
		RpcProtocolVersions.Version version = RpcProtocolVersions.Version.newBuilder().setMajor(2).setMinor(1).build();
		return HandshakerResult.newBuilder()
			.setApplicationProtocol("grpc")
			.setRecordProtocol("ALTSRP_GCM_AES128_REKEY")
			.setKeyData(key)
			.setPeerIdentity(Identity.newBuilder().setServiceAccount(peer).build())
			.setLocalIdentity(Identity.newBuilder().setServiceAccount(local).build())
			.setPeerRpcVersions(
					RpcProtocolVersions.newBuilder().setMinRpcVersion(version).setMaxRpcVersion(version).build())
			.build();
	}

	private static final class Handshake {

		private ByteString key;

	}

	private final class Service extends HandshakerServiceGrpc.HandshakerServiceImplBase {

		@Override
		public StreamObserver<HandshakerReq> doHandshake(StreamObserver<HandshakerResp> responses) {
			Handshake handshake = new Handshake();
			return new StreamObserver<>() {
				@Override
				public void onNext(HandshakerReq request) {
					responses.onNext(switch (request.getReqOneofCase()) {
						case CLIENT_START -> clientStart(handshake);
						case SERVER_START -> serverStart(request.getServerStart().getInBytes());
						case NEXT -> clientNext(handshake, request.getNext().getInBytes());
						default -> refused();
					});
				}

				@Override
				public void onError(Throwable ex) {
					// The side that shook hands has gone away
				}

				@Override
				public void onCompleted() {
					responses.onCompleted();
				}
			};
		}

	}

}
