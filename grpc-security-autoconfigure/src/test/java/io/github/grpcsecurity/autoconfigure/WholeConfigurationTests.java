package io.github.grpcsecurity.autoconfigure;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.apikey.ApiKeyAuthenticator;
import io.github.grpcsecurity.authentication.apikey.ApiKeyFile;
import io.github.grpcsecurity.authentication.basic.BasicAuthenticator;
import io.github.grpcsecurity.authentication.certificate.CertificateAuthenticator;
import io.github.grpcsecurity.authentication.jwt.JwtCredentialAuthenticator;
import io.github.grpcsecurity.authentication.opaque.OpaqueTokenAuthenticator;
import io.github.grpcsecurity.authorization.policy.FilePolicy;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.tls.SpiffeTrust;
import io.github.grpcsecurity.tls.TransportConfigurer;
import io.github.grpcsecurity.tls.WorkloadApi;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.env.YamlPropertySourceLoader;
import org.springframework.boot.test.context.assertj.AssertableApplicationContext;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.core.env.PropertySource;
import org.springframework.core.io.ByteArrayResource;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.provisioning.InMemoryUserDetailsManager;
import org.springframework.util.ClassUtils;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** All settings at once, and settings that are written down without a value. */
class WholeConfigurationTests {

	private static final String HASH = "sha256:" + "ab".repeat(32);

	/** Everything there is, as it is documented; a tilde is no value. */
	private static final String YAML = """
			grpc.security:
			  enabled: true
			  transport: tls
			  allow-insecure: false
			  tls:
			    bundle: ~
			    certificate-chain: %s
			    private-key: %s
			    private-key-password: ~
			    key-store: ~
			    key-store-type: ~
			    key-store-password: ~
			    key-alias: ~
			    key-password: ~
			    trust-certificates: ~
			    trust-store: ~
			    trust-store-type: ~
			    trust-store-password: ~
			    client-auth: none
			    protocols: [TLSv1.3]
			    ciphers: []
			    handshake-timeout: 10s
			    reload-interval: 10s
			    crl: {locations: [], undetermined: deny}
			    spiffe: {trust-domains: [], bundle-map: ~, workload-api-socket: ~}
			  proxy: {trusted: [], client-certificate-header: x-forwarded-client-cert, forwarded-for-header: x-forwarded-for}
			  dev: {enabled: false, directory: ~}
			  authentication:
			    jwt:
			      issuers:
			        - issuer-uri: https://idp.example/realms/bank
			          jwk-set-uri: ~
			          public-key-location: ~
			          audiences: [bank-api]
			          algorithms: [RS256, PS256, ES256, EdDSA]
			          profile: ~
			          principal-claim: sub
			          authorities: [{claim: scope, prefix: SCOPE_}, {claim: scp, prefix: SCOPE_}, {claim: roles, prefix: ROLE_}]
			          require-certificate-binding: false
			      clock-skew: 30s
			      max-token-size: 8KB
			      cache: {ttl: 60s, max-entries: 10000}
			      jwks: {startup: lazy}
			    opaque-token: {introspection-uri: ~, client-id: ~, client-secret: ~, timeout: 1s, cache-ttl: 30s}
			    client-certificate:
			      enabled: false
			      mappings: [{principal: "spiffe://bank/teller", authorities: [ROLE_TELLER]}]
			    api-key:
			      header: x-api-key
			      location: ~
			      keys: [{id: partner-7, hash: "%s", principal: ~, authorities: [ROLE_PARTNER], expires-at: ~, allowed-methods: [], allowed-addresses: []}]
			    basic: {enabled: false, max-concurrent-checks: ~}
			    on-credential-expiry: close
			    revocation: {store: auto}
			    failures: {limit: 20, period: 1m}
			  authorization:
			    default-access: deny
			    rules:
			      - {methods: ["bank.Accounts/List*"], access: permit, when: ~, name: ~}
			      - {methods: ["bank.Accounts/Get*"], access: "hasAuthority('SCOPE_accounts.read')"}
			      - {methods: ["bank.Accounts/Transfer"], access: authenticated, when: "message.amount <= 1000 || 'ROLE_TELLER' in auth.authorities"}
			    health-access: permit
			    policy-file: ~
			    policy-reload-interval: ~
			    shadow-policy-file: ~
			  rate-limit:
			    store: auto
			    rules:
			      - {name: per-peer, key: peer, methods: ["**"], limit: 100, period: 1s, burst: 200}
			      - {name: per-user, key: principal, methods: ["bank.*/*"], limit: 20, period: 1s, burst: ~, on-failure: local}
			    lease: {enabled: true, ttl: 1s, max-share: 0.1}
			    redis: {timeout: 20ms, key-prefix: "grpc-security:"}
			  audit:
			    enabled: true
			    rules: [{methods: ["**"], level: metadata}]
			    queue-capacity: 10000
			    log: {enabled: true}
			    application-events: true
			  limits:
			    max-concurrent-calls-per-connection: 100
			    max-inbound-message-size: 4MB
			    max-inbound-metadata-size: 8KB
			    max-reset-frames: 200
			    max-reset-frames-period: 30s
			    permit-keep-alive-time: 1m
			    permit-keep-alive-without-calls: false
			    max-connection-idle: 30m
			    max-connection-age: 1h
			    max-connection-age-grace: 5m
			  errors: {expose-descriptions: [INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, OUT_OF_RANGE, ABORTED]}
			  reflection: {access: disabled}
			""";

	@TempDir
	private Path directory;

	private String yaml;

	@BeforeEach
	void writeYaml() {
		TestCertificates certificates = TestCertificates.in(this.directory);
		this.yaml = YAML.formatted("file:" + certificates.serverPem(), "file:" + certificates.serverKeyPem(), HASH);
	}

	private ApplicationContextRunner runner(String yaml) throws IOException {
		return new ApplicationContextRunner().withConfiguration(autoConfigurations())
			.withInitializer((context) -> load(yaml)
				.forEach((source) -> context.getEnvironment().getPropertySources().addLast(source)));
	}

	private static List<PropertySource<?>> load(String yaml) {
		try {
			return new YamlPropertySourceLoader().load("yaml",
					new ByteArrayResource(yaml.getBytes(StandardCharsets.UTF_8)));
		}
		catch (IOException ex) {
			throw new IllegalStateException(ex);
		}
	}

	/** All but the adapters, which need their server. */
	private static AutoConfigurations autoConfigurations() throws IOException {
		try (InputStream in = Objects.requireNonNull(GrpcSecurityAutoConfiguration.class.getResourceAsStream(
				"/META-INF/spring/" + "org.springframework.boot.autoconfigure.AutoConfiguration.imports"))) {
			List<Class<?>> classes = new ArrayList<>();
			for (String name : new String(in.readAllBytes(), StandardCharsets.UTF_8).lines().toList()) {
				if (!name.contains(".devh.") && !name.contains(".boot.")) {
					classes.add(ClassUtils.resolveClassName(name, null));
				}
			}
			return AutoConfigurations.of(classes.toArray(new Class<?>[0]));
		}
	}

	private static List<Class<?>> authenticators(AssertableApplicationContext context) {
		return context.getBeanProvider(CredentialAuthenticator.class)
			.orderedStream()
			.<Class<?>>map(Object::getClass)
			.toList();
	}

	@Test
	void runWhenEverythingIsWrittenDownThenStartsAndTildesAreNoValues() throws IOException {
		runner(this.yaml).run((context) -> {
			assertThat(context).hasNotFailed()
				.hasSingleBean(GrpcServerSecurity.class)
				.hasSingleBean(TransportConfigurer.class)
				.doesNotHaveBean(FilePolicy.class)
				.doesNotHaveBean(SpiffeTrust.class)
				.doesNotHaveBean(WorkloadApi.class)
				.doesNotHaveBean(ApiKeyFile.class);
			assertThat(authenticators(context)).containsExactlyInAnyOrder(JwtCredentialAuthenticator.class,
					ApiKeyAuthenticator.class);
			assertThat(context.getBean(GrpcApiKeyProperties.class).keys()).singleElement().satisfies((key) -> {
				assertThat(key.principal()).isNull();
				assertThat(key.expiresAt()).isNull();
			});
			assertThat(context.getBean(GrpcTlsProperties.class).keyPassword()).isNull();
		});
	}

	@Test
	void runWhenStoresAreNamedInPlaceOfFilesThenTildesDoNotContradict() throws IOException {
		TestCertificates certificates = TestCertificates.in(this.directory);
		String yaml = this.yaml.replaceAll("certificate-chain: .*", "certificate-chain: ~")
			.replaceAll("private-key: .*", "private-key: ~")
			.replaceAll("key-store: ~", "key-store: file:" + certificates.serverKeyStore("PKCS12", "secret"))
			.replaceAll("key-store-password: ~", "key-store-password: secret");

		runner(yaml).run((context) -> assertThat(context).hasNotFailed());
	}

	@Test
	void runWhenEveryKindOfCredentialIsOnThenOpaqueTokensAreLookedAtBeforeSignedOnes() throws IOException {
		String yaml = this.yaml
			.replace("introspection-uri: ~, client-id: ~, client-secret: ~",
					"introspection-uri: \"https://idp.example/introspect\", client-id: bank, client-secret: s3cret")
			.replace("client-auth: none", "client-auth: optional")
			.replace("client-certificate:\n      enabled: false", "client-certificate:\n      enabled: true")
			.replace("basic: {enabled: false", "basic: {enabled: true")
			.replace("trust-certificates: ~",
					"trust-certificates: file:" + TestCertificates.in(this.directory).caPem());

		runner(yaml).withBean(UserDetailsService.class, InMemoryUserDetailsManager::new).run((context) -> {
			assertThat(context).hasNotFailed();
			assertThat(authenticators(context))
				.containsExactlyInAnyOrder(OpaqueTokenAuthenticator.class, JwtCredentialAuthenticator.class,
						ApiKeyAuthenticator.class, BasicAuthenticator.class, CertificateAuthenticator.class)
				.startsWith(OpaqueTokenAuthenticator.class);
			assertThat(context.getBean(GrpcOpaqueTokenProperties.class)).satisfies((properties) -> {
				assertThat(properties.toString()).doesNotContain("s3cret");
				assertThat(properties.timeout()).isEqualTo(Duration.ofSeconds(1));
			});
		});
	}

	@Test
	void runWhenContextStartsAgainAndAgainThenNoThreadsAreLeft() throws Exception {
		ApplicationContextRunner runner = runner(this.yaml.replace("startup: lazy", "startup: eager-warn")
			.replace("issuer-uri: https://idp.example/realms/bank", "issuer-uri: http://127.0.0.1:1/bank"));
		runner.run((context) -> assertThat(context).hasNotFailed());
		long before = ownThreads();

		for (int i = 0; i < 20; i++) {
			runner.run((context) -> assertThat(context).hasNotFailed());
		}

		await().atMost(Duration.ofSeconds(20))
			.untilAsserted(() -> assertThat(ownThreads()).isLessThanOrEqualTo(before));
	}

	private static long ownThreads() {
		return Thread.getAllStackTraces()
			.keySet()
			.stream()
			.filter((thread) -> thread.getName().startsWith("grpc-security"))
			.count();
	}

}
