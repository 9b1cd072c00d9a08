package io.github.grpcsecurity.tls;

import java.security.cert.CRLReason;
import java.security.cert.CertPathBuilderException;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertPathValidatorException.BasicReason;
import java.security.cert.CertPathValidatorException.Reason;
import java.security.cert.CertificateException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.security.cert.CertificateParsingException;
import java.security.cert.CertificateRevokedException;
import java.security.cert.PKIXReason;
import java.util.Date;
import java.util.Map;
import java.util.stream.Stream;

import javax.security.auth.x500.X500Principal;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

class TlsHandshakeResultTests {

	@ParameterizedTest
	@MethodSource
	void ofWhenCertificateIsRefusedThenSaysWhy(Throwable cause, TlsHandshakeResult expected) {
		assertThat(TlsHandshakeResult.of(new CertificateException("refused", cause))).isEqualTo(expected);
	}

	static Stream<Arguments> ofWhenCertificateIsRefusedThenSaysWhy() {
		CertificateRevokedException revoked = new CertificateRevokedException(new Date(0), CRLReason.UNSPECIFIED,
				new X500Principal("CN=CA"), Map.of());
		return Stream.of(arguments(revoked, TlsHandshakeResult.CERTIFICATE_REVOKED),
				arguments(reason(BasicReason.REVOKED), TlsHandshakeResult.CERTIFICATE_REVOKED),
				arguments(reason(BasicReason.EXPIRED), TlsHandshakeResult.CERTIFICATE_EXPIRED),
				arguments(reason(BasicReason.NOT_YET_VALID), TlsHandshakeResult.CERTIFICATE_NOT_YET_VALID),
				arguments(reason(BasicReason.UNDETERMINED_REVOCATION_STATUS),
						TlsHandshakeResult.CERTIFICATE_VERIFICATION_FAILED),
				arguments(new CertificateExpiredException(), TlsHandshakeResult.CERTIFICATE_EXPIRED),
				arguments(new CertificateNotYetValidException(), TlsHandshakeResult.CERTIFICATE_NOT_YET_VALID),
				arguments(new CertificateParsingException(), TlsHandshakeResult.CERTIFICATE_MALFORMED),
				arguments(reason(BasicReason.INVALID_SIGNATURE), TlsHandshakeResult.CERTIFICATE_AUTHORITY_INVALID),
				arguments(reason(PKIXReason.NO_TRUST_ANCHOR), TlsHandshakeResult.CERTIFICATE_AUTHORITY_INVALID),
				arguments(new CertPathBuilderException(), TlsHandshakeResult.CERTIFICATE_AUTHORITY_INVALID),
				arguments(new CertPathBuilderException(reason(BasicReason.EXPIRED)),
						TlsHandshakeResult.CERTIFICATE_EXPIRED),
				arguments(new IllegalStateException(), TlsHandshakeResult.CERTIFICATE_VERIFICATION_FAILED),
				arguments(null, TlsHandshakeResult.CERTIFICATE_VERIFICATION_FAILED));
	}

	@Test
	void ofWhenCausesFormACircleThenEnds() {
		CertificateException first = new CertificateException("first");
		first.initCause(new CertificateException("second", first));

		assertThat(TlsHandshakeResult.of(first)).isEqualTo(TlsHandshakeResult.CERTIFICATE_VERIFICATION_FAILED);
	}

	private static CertPathValidatorException reason(Reason reason) {
		return new CertPathValidatorException("invalid", null, null, -1, reason);
	}

}
