package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.authentication.certificate.CertificateAuthenticator;
import io.github.grpcsecurity.authentication.certificate.CertificateIdentityMapper;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static org.assertj.core.api.Assertions.assertThat;

@ExtendWith(OutputCaptureExtension.class)
class GrpcClientCertificateAutoConfigurationTests {

	private static final String PREFIX = "grpc.security.authentication.client-certificate.";

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcClientCertificateAutoConfiguration.class));

	@Test
	void contextWhenNotEnabledThenCertificatesIdentifyNobody() {
		this.runner.run((context) -> assertThat(context).doesNotHaveBean(CertificateAuthenticator.class));
		this.runner.withPropertyValues(PREFIX + "enabled=true", "grpc.security.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(CertificateAuthenticator.class));
	}

	@Test
	void contextWhenEnabledThenAuthenticator(CapturedOutput output) {
		this.runner
			.withPropertyValues(PREFIX + "enabled=true", PREFIX + "mappings[0].principal=spiffe://bank/teller",
					PREFIX + "mappings[0].authorities=ROLE_TELLER", "grpc.security.tls.client-auth=require")
			.run((context) -> assertThat(context).hasSingleBean(CertificateAuthenticator.class));
		assertThat(output).doesNotContain("nobody is asked for one");
	}

	@Test
	void contextWhenNobodyIsAskedForACertificateThenWarns(CapturedOutput output) {
		this.runner.withPropertyValues(PREFIX + "enabled=true").run((context) -> assertThat(context).hasNotFailed());
		assertThat(output)
			.contains("nobody is asked for one: set grpc.security.tls.client-auth to optional or require");
	}

	@Test
	void contextWhenProxyVouchesThenDoesNotWarn(CapturedOutput output) {
		this.runner.withPropertyValues(PREFIX + "enabled=true", "grpc.security.proxy.trusted=127.0.0.1/32")
			.run((context) -> assertThat(context).hasNotFailed());
		assertThat(output).doesNotContain("nobody is asked for one");
	}

	@Test
	void contextWhenMappingIsMalformedThenNamesIt() {
		this.runner
			.withPropertyValues(PREFIX + "enabled=true", PREFIX + "mappings[0].principal=a.example",
					PREFIX + "mappings[1].principal=spiffe://bank/tell*")
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.hasMessage("Property grpc.security.authentication.client-certificate.mappings[1].principal with value"
						+ " 'spiffe://bank/tell*' is invalid: Not a name of a certificate's owner: a * is possible only"
						+ " as the last segment of a URI, as in spiffe://bank/tellers/*."));
	}

	@Test
	void contextWhenMapperBeanThenMappingsMustGo() {
		ApplicationContextRunner own = this.runner.withPropertyValues(PREFIX + "enabled=true")
			.withBean(CertificateIdentityMapper.class, () -> (call, identity) -> null);
		own.run((context) -> assertThat(context).hasSingleBean(CertificateAuthenticator.class));
		own.withPropertyValues(PREFIX + "mappings[0].principal=a.example")
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.hasMessageContaining("There is also a CertificateIdentityMapper bean"));
	}

	@Test
	void contextWhenOwnAuthenticatorThenBacksOff() {
		CertificateAuthenticator own = new CertificateAuthenticator((call, identity) -> null);
		this.runner.withPropertyValues(PREFIX + "enabled=true")
			.withBean(CertificateAuthenticator.class, () -> own)
			.run((context) -> assertThat(context.getBean(CertificateAuthenticator.class)).isSameAs(own));
	}

}
