package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.tls.TlsMaterial;
import io.github.grpcsecurity.tls.TlsReloadObserver;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.TlsChannelCredentials;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.ImportAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Configuration;

import static org.assertj.core.api.Assertions.assertThat;

/** A whole application whose files change as those of a Kubernetes secret do. */
class GrpcTlsReloadIT {

	@TempDir
	Path temporary;

	@Test
	void runWhenSecretIsSwappedThenNewConnectionsSeeItAndOpenOnesGoOn() throws Exception {
		TestCertificates first = TestCertificates.in(Files.createDirectory(this.temporary.resolve("..first")));
		TestCertificates second = TestCertificates.in(Files.createDirectory(this.temporary.resolve("..second")));
		for (TestCertificates certificates : new TestCertificates[] { first, second }) {
			certificates.serverPem();
			certificates.serverKeyPem();
		}
		Path data = Files.createSymbolicLink(this.temporary.resolve("..data"), Path.of("..first"));
		try (ConfigurableApplicationContext context = new SpringApplicationBuilder(GrpcTransportIT.Application.class,
				Reloading.class)
			.web(WebApplicationType.NONE)
			.run("--grpc.server.port=0", "--grpc.server.address=127.0.0.1",
					"--grpc.security.tls.certificate-chain=" + data.resolve("server.pem"),
					"--grpc.security.tls.private-key=" + data.resolve("server-key.pem"),
					"--grpc.security.tls.reload-interval=100ms")) {
			ManagedChannel open = channel(context, first);
			assertThat(CallType.UNARY.call(open).code()).isEqualTo(Status.Code.OK);

			Path next = Files.createSymbolicLink(this.temporary.resolve("..data_tmp"), Path.of("..second"));
			Files.move(next, data, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);

			assertThat(context.getBean(Reloading.class).reloaded.await(30, TimeUnit.SECONDS)).isTrue();
			for (CallType type : CallType.values()) {
				assertThat(call(context, second, type)).isEqualTo(Status.Code.OK);
				assertThat(call(context, first, type)).isEqualTo(Status.Code.UNAVAILABLE);
				assertThat(type.call(open).code()).isEqualTo(Status.Code.OK);
			}
			open.shutdownNow();
		}
	}

	private static Status.Code call(ConfigurableApplicationContext context, TestCertificates trusted, CallType type)
			throws Exception {
		ManagedChannel channel = channel(context, trusted);
		try {
			return type.call(channel).code();
		}
		finally {
			channel.shutdownNow();
		}
	}

	private static ManagedChannel channel(ConfigurableApplicationContext context, TestCertificates trusted)
			throws Exception {
		int port = context.getBean(GrpcTransportIT.Application.class).started.get(0).getPort();
		return Grpc
			.newChannelBuilderForAddress("127.0.0.1", port,
					TlsChannelCredentials.newBuilder().trustManager(trusted.caPem().toFile()).build())
			.build();
	}

	@Configuration(proxyBeanMethods = false)
	@ImportAutoConfiguration({ GrpcSecurityAutoConfiguration.class, GrpcTlsReloadAutoConfiguration.class })
	static class Reloading implements TlsReloadObserver {

		private final CountDownLatch reloaded = new CountDownLatch(1);

		@Override
		public void reloaded(TlsMaterial material) {
			this.reloaded.countDown();
		}

	}

}
