package io.github.grpcsecurity.audit;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.time.InstantSource;
import java.util.List;

import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status.Code;
import io.grpc.TlsServerCredentials;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;

class AuditTlsIT {

	private final RecordingAuditSink sink = new RecordingAuditSink();

	@ParameterizedTest
	@EnumSource
	void callWhenOverTlsThenRecordsSaySo(CallType type) throws Exception {
		X509Bundle identity = new CertificateBuilder().subject("CN=localhost")
			.addSanDnsName("localhost")
			.setIsCertificateAuthority(true)
			.buildSelfSigned();
		AuditRuleStage rules = new AuditRuleStage(List.of());
		AuditLog log = new AuditLog(rules, List.of(this.sink), 100, Duration.ofSeconds(10), InstantSource.system());
		GrpcServerSecurity security = GrpcServerSecurity.builder()
			.executor(Runnable::run)
			.stages(List.of(rules))
			.observers(List.of(log))
			.build();
		EchoService service = new EchoService();
		NettyServerBuilder builder = NettyServerBuilder.forAddress(
				new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
				TlsServerCredentials.newBuilder().keyManager(identity.toKeyManagerFactory().getKeyManagers()).build());
		security.install(builder, List.of(new SecuredService(service.bindService(), service, "echoService")));
		Server server = builder.build().start();
		ManagedChannel channel = NettyChannelBuilder.forAddress("localhost", server.getPort())
			.sslContext(GrpcSslContexts.forClient().trustManager(identity.toTrustManagerFactory()).build())
			.build();
		try {
			assertThat(type.call(channel).code()).isEqualTo(Code.OK);
		}
		finally {
			channel.shutdownNow();
			server.shutdownNow().awaitTermination();
		}
		log.close();

		assertThat(this.sink.records).hasSize(2)
			.allSatisfy(
					(record) -> assertThat(record.fields()).containsEntry("transport.security", "privacy_and_integrity")
						.containsEntry("tls.protocol", "TLSv1.3"));
	}

}
