package io.github.grpcsecurity.autoconfigure;

import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.authentication.certificate.CertificateAuthenticator;
import io.github.grpcsecurity.authentication.certificate.CertificateIdentityMapper;
import io.github.grpcsecurity.authentication.certificate.CertificateMapping;
import io.github.grpcsecurity.tls.ClientAuth;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;

/**
 * Identifies callers by their client certificates.
 *
 * @since 0.1.0
 */
@AutoConfiguration(before = GrpcAuthenticationAutoConfiguration.class)
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnBooleanProperty("grpc.security.authentication.client-certificate.enabled")
@EnableConfigurationProperties({ GrpcClientCertificateProperties.class, GrpcTlsProperties.class,
		GrpcProxyProperties.class })
public final class GrpcClientCertificateAutoConfiguration {

	private static final Log logger = LogFactory.getLog(GrpcClientCertificateAutoConfiguration.class);

	private static final String MAPPINGS = "grpc.security.authentication.client-certificate.mappings";

	@Bean
	@ConditionalOnMissingBean
	CertificateAuthenticator grpcCertificateAuthenticator(GrpcClientCertificateProperties properties,
			ObjectProvider<CertificateIdentityMapper> mapper, GrpcTlsProperties tls, GrpcProxyProperties proxy) {
		if (tls.clientAuth() == ClientAuth.NONE && proxy.trusted().isEmpty()) {
			logger.warn("Callers are to be known by their certificates"
					+ " (grpc.security.authentication.client-certificate.enabled), but nobody is asked for one: set"
					+ " grpc.security.tls.client-auth to optional or require, or name the proxies that vouch for"
					+ " clients in grpc.security.proxy.trusted");
		}
		List<CertificateMapping> mappings = mappings(properties);
		CertificateIdentityMapper own = mapper.getIfAvailable();
		if (own == null) {
			return CertificateAuthenticator.of(mappings);
		}
		if (!mappings.isEmpty()) {
			throw new InvalidConfigurationPropertyValueException(MAPPINGS, mappings,
					"There is also a CertificateIdentityMapper bean, which takes their place: remove one of the two.");
		}
		return new CertificateAuthenticator(own);
	}

	private static List<CertificateMapping> mappings(GrpcClientCertificateProperties properties) {
		List<CertificateMapping> mappings = new ArrayList<>();
		for (GrpcClientCertificateProperties.Mapping mapping : properties.mappings()) {
			try {
				mappings.add(new CertificateMapping(mapping.principal(), mapping.authorities()));
			}
			catch (IllegalArgumentException ex) {
				throw new InvalidConfigurationPropertyValueException(MAPPINGS + "[" + mappings.size() + "].principal",
						mapping.principal(), "Not a name of a certificate's owner: " + ex.getMessage() + ".");
			}
		}
		return mappings;
	}

}
