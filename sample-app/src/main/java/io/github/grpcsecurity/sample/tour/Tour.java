package io.github.grpcsecurity.sample.tour;

import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.function.Supplier;

import com.google.protobuf.ByteString;
import io.github.grpcsecurity.sample.proto.GetBalanceRequest;
import io.github.grpcsecurity.sample.proto.ReconcileRequest;
import io.github.grpcsecurity.sample.proto.Transaction;
import io.github.grpcsecurity.sample.proto.TransferRequest;
import io.github.grpcsecurity.sample.proto.WatchTransactionsRequest;
import io.github.grpcsecurity.sample.tour.TourClient.Header;
import io.grpc.Status.Code;
import io.grpc.health.v1.HealthCheckRequest;

/**
 * Calls the bank as good, careless and hostile clients would.
 */
public final class Tour {

	private static final String ACCOUNTS = "bank.Accounts/";

	private static final GetBalanceRequest ALICE = GetBalanceRequest.newBuilder().setAccount("alice").build();

	private static final List<Header> NOTHING = List.of();

	private static final List<String> NO_ROLES = List.of();

	private final int port;

	private final Path directory;

	private final TourTokens tokens;

	private final String apiKey;

	private final List<Row> rows = new ArrayList<>();

	/**
	 * @param port where the bank listens on 127.0.0.1
	 * @param directory the dev mode's certificates
	 * @param tokens makes tokens with the dev mode's key
	 * @param apiKey the key of a partner of the bank
	 */
	Tour(int port, Path directory, TourTokens tokens, String apiKey) {
		this.port = port;
		this.directory = directory;
		this.tokens = tokens;
		this.apiKey = apiKey;
	}

	/** A call of the tour and how it went. */
	public record Row(String call, String credentials, String expected, String got) {

		/** Whether the call got what it should get. */
		public boolean asExpected() {
			return this.expected.equals(this.got);
		}

	}

	/** Makes all calls, in the order of the rows it returns. */
	List<Row> walk() {
		try (TourClient client = TourClient.mutualTls(this.port, this.directory)) {
			authentication(client);
			apiKeys(client);
			authorization(client);
			streams(client);
			limits(client);
			malformed(client);
		}
		transport();
		return List.copyOf(this.rows);
	}

	private void authentication(TourClient client) {
		add("Health/Check", "none", Code.OK,
				() -> client.call("grpc.health.v1.Health/Check", NOTHING, HealthCheckRequest.getDefaultInstance()));
		balance(client, "good token", Code.OK, bearer(reader()));
		balance(client, "good token, scheme in lower case", Code.OK,
				List.of(Header.authorization("bearer " + reader())));
		balance(client, "none", Code.UNAUTHENTICATED, NOTHING);
		balance(client, "expired token", Code.UNAUTHENTICATED, bearer(this.tokens.token("alice", NO_ROLES,
				(claims) -> claims.expirationTime(Date.from(Instant.now().minusSeconds(3600))), "accounts.read")));
		balance(client, "token without expiry", Code.UNAUTHENTICATED,
				bearer(this.tokens.token("alice", NO_ROLES, (claims) -> claims.expirationTime(null), "accounts.read")));
		balance(client, "token not valid yet", Code.UNAUTHENTICATED, bearer(this.tokens.token("alice", NO_ROLES,
				(claims) -> claims.notBeforeTime(Date.from(Instant.now().plusSeconds(3600))), "accounts.read")));
		balance(client, "wrong audience", Code.UNAUTHENTICATED, bearer(
				this.tokens.token("alice", NO_ROLES, (claims) -> claims.audience("another-api"), "accounts.read")));
		balance(client, "wrong issuer", Code.UNAUTHENTICATED, bearer(this.tokens.token("alice", NO_ROLES,
				(claims) -> claims.issuer("https://evil.example"), "accounts.read")));
		balance(client, "alg: none", Code.UNAUTHENTICATED,
				bearer(this.tokens.unsigned("alice", NO_ROLES, "accounts.read")));
		balance(client, "HS256 with the public key", Code.UNAUTHENTICATED,
				bearer(this.tokens.signedWithPublicKey("alice", NO_ROLES, "accounts.read")));
		balance(client, "tampered token", Code.UNAUTHENTICATED, bearer(tampered(reader())));
		balance(client, "two good tokens", Code.UNAUTHENTICATED,
				List.of(Header.authorization("Bearer " + reader()), Header.authorization("Bearer " + reader())));
		balance(client, "Basic", Code.UNAUTHENTICATED, List.of(Header.authorization("Basic YWxpY2U6c2VjcmV0")));
	}

	private void apiKeys(TourClient client) {
		balance(client, "API key", Code.OK, apiKey(this.apiKey));
		balance(client, "API key, tampered", Code.UNAUTHENTICATED, apiKey(this.apiKey + "x"));
		balance(client, "good token, bad API key", Code.UNAUTHENTICATED,
				List.of(Header.authorization("Bearer " + reader()), new Header("x-api-key", "partner-7.x")));
		add("Transfer of 10", "API key", Code.PERMISSION_DENIED,
				() -> client.call(ACCOUNTS + "Transfer", apiKey(this.apiKey), transfer(1_000)));
		add("Transfer of 10", "API key and customer", Code.OK, () -> client.call(ACCOUNTS + "Transfer",
				List.of(bearer(customer("erin")).get(0), apiKey(this.apiKey).get(0)), transfer(1_000)));
	}

	private void authorization(TourClient client) {
		balance(client, "token without the scope", Code.PERMISSION_DENIED, bearer(customer("alice")));
		add("GetBalance of no account", "good token", Code.NOT_FOUND, () -> client.call(ACCOUNTS + "GetBalance",
				bearer(reader()), GetBalanceRequest.newBuilder().setAccount("nobody").build()));
		add("GetBalance that breaks", "good token", "INTERNAL, x-correlation-id, no text",
				() -> broken(client.call(ACCOUNTS + "GetBalance", bearer(reader()),
						GetBalanceRequest.newBuilder().setAccount("broken").build())));
		add("Transfer of 10", "none", Code.UNAUTHENTICATED,
				() -> client.call(ACCOUNTS + "Transfer", NOTHING, transfer(1_000)));
		add("Transfer of 10", "customer", Code.OK,
				() -> client.call(ACCOUNTS + "Transfer", bearer(customer("alice")), transfer(1_000)));
		add("Transfer of 2000", "customer", Code.PERMISSION_DENIED,
				() -> client.call(ACCOUNTS + "Transfer", bearer(customer("alice")), transfer(200_000)));
		add("Transfer of 2000", "teller", Code.OK,
				() -> client.call(ACCOUNTS + "Transfer", bearer(teller()), transfer(200_000)));
		add("Transfer of 200000", "teller", Code.PERMISSION_DENIED,
				() -> client.call(ACCOUNTS + "Transfer", bearer(teller()), transfer(20_000_000)));
		add("Unknown method", "none", Code.UNAUTHENTICATED, () -> client.call(ACCOUNTS + "Secret", NOTHING, ALICE));
		add("Unknown method", "good token", Code.UNIMPLEMENTED,
				() -> client.call(ACCOUNTS + "Secret", bearer(reader()), ALICE));
		add("Reflection", "none", Code.UNAUTHENTICATED,
				() -> client.call("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", NOTHING));
		add("Reflection", "good token", Code.UNIMPLEMENTED,
				() -> client.call("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", bearer(reader())));
	}

	private void streams(TourClient client) {
		WatchTransactionsRequest watch = WatchTransactionsRequest.newBuilder().setAccount("alice").build();
		add("WatchTransactions", "good token", "OK, 3 messages",
				() -> counted(client.call(ACCOUNTS + "WatchTransactions", bearer(reader()), watch)));
		add("WatchTransactions", "token without the scope", Code.PERMISSION_DENIED,
				() -> client.call(ACCOUNTS + "WatchTransactions", bearer(customer("alice")), watch));
		add("ImportTransactions of 3", "teller", Code.OK, () -> client.call(ACCOUNTS + "ImportTransactions",
				bearer(teller()), transaction(100), transaction(200), transaction(300)));
		add("ImportTransactions, 3rd too large", "teller", Code.PERMISSION_DENIED,
				() -> client.call(ACCOUNTS + "ImportTransactions", bearer(teller()), transaction(100), transaction(100),
						transaction(100_000_000)));
		add("ImportTransactions", "customer", Code.PERMISSION_DENIED,
				() -> client.call(ACCOUNTS + "ImportTransactions", bearer(customer("alice")), transaction(100)));
		ReconcileRequest reconcile = ReconcileRequest.newBuilder().setAccount("alice").build();
		add("Reconcile", "auditor", "OK, 2 messages", () -> counted(client.call(ACCOUNTS + "Reconcile",
				bearer(this.tokens.token("audrey", List.of("AUDITOR"))), reconcile, reconcile)));
		add("Reconcile", "teller", Code.PERMISSION_DENIED,
				() -> client.call(ACCOUNTS + "Reconcile", bearer(teller()), reconcile));
		add("Reconcile", "none", Code.UNAUTHENTICATED, () -> client.call(ACCOUNTS + "Reconcile", NOTHING, reconcile));
	}

	private void limits(TourClient client) {
		List<Header> carol = bearer(customer("carol-" + Instant.now().toEpochMilli()));
		for (int i = 1; i <= 5; i++) {
			add("Transfer " + i + " in a minute", "customer", Code.OK,
					() -> client.call(ACCOUNTS + "Transfer", carol, transfer(1)));
		}
		add("Transfer 6 in a minute", "customer", "RESOURCE_EXHAUSTED, retry-after",
				() -> overLimit(client.call(ACCOUNTS + "Transfer", carol, transfer(1))));
		add("Transfer in the same minute", "another customer", Code.OK, () -> client.call(ACCOUNTS + "Transfer",
				bearer(customer("dave-" + Instant.now().toEpochMilli())), transfer(1)));
	}

	private void malformed(TourClient client) {
		add("GetBalance, malformed message", "good token", Code.INVALID_ARGUMENT, () -> client
			.callWithBytes(ACCOUNTS + "GetBalance", bearer(reader()), List.of(new byte[] { (byte) 0xff, 1, 2 })));
		add("GetBalance, no message", "good token", Code.INVALID_ARGUMENT,
				() -> client.callWithBytes(ACCOUNTS + "GetBalance", bearer(reader()), List.of()));
		add("GetBalance, message of 5 MB", "good token", Code.RESOURCE_EXHAUSTED,
				() -> client.call(ACCOUNTS + "GetBalance", bearer(reader()),
						GetBalanceRequest.newBuilder()
							.setAccountBytes(ByteString.copyFrom(new byte[5 * 1024 * 1024]))
							.build()));
	}

	private void transport() {
		add("GetBalance", "good token, no client certificate", Code.UNAVAILABLE, () -> {
			try (TourClient client = TourClient.tls(this.port, this.directory.resolve("ca.pem").toFile(), null, null)) {
				return client.call(ACCOUNTS + "GetBalance", bearer(reader()), ALICE);
			}
		});
		add("GetBalance", "good token, without TLS", Code.UNAVAILABLE, () -> {
			try (TourClient client = TourClient.plaintext(this.port)) {
				return client.call(ACCOUNTS + "GetBalance", bearer(reader()), ALICE);
			}
		});
	}

	private void balance(TourClient client, String credentials, Code expected, List<Header> presented) {
		add("GetBalance", credentials, expected, () -> client.call(ACCOUNTS + "GetBalance", presented, ALICE));
	}

	private void add(String call, String credentials, Code expected, Supplier<TourClient.Result> result) {
		add(call, credentials, expected.name(), () -> result.get().code().name());
	}

	private void add(String call, String credentials, String expected, GotSupplier got) {
		this.rows.add(new Row(call, credentials, expected, got.get()));
	}

	/** Makes a call and says in words what came back. */
	@FunctionalInterface
	private interface GotSupplier {

		String get();

	}

	private static String broken(TourClient.Result result) {
		boolean silent = String.valueOf(result.status().getDescription()).equals("internal error");
		return result.code() + ((result.trailer("x-correlation-id") != null) ? ", x-correlation-id" : "")
				+ (silent ? ", no text" : ", " + result.status().getDescription());
	}

	private static String overLimit(TourClient.Result result) {
		boolean hints = result.trailer("retry-after") != null && result.trailer("grpc-retry-pushback-ms") != null;
		return result.code() + (hints ? ", retry-after" : "");
	}

	private static String counted(TourClient.Result result) {
		return result.code() + ", " + result.replies() + " messages";
	}

	private String reader() {
		return this.tokens.token("alice", NO_ROLES, "accounts.read");
	}

	private String customer(String name) {
		return this.tokens.token(name, List.of("CUSTOMER"));
	}

	private String teller() {
		return this.tokens.token("tess", List.of("TELLER"));
	}

	private static List<Header> apiKey(String key) {
		return List.of(new Header("x-api-key", key));
	}

	private static List<Header> bearer(String token) {
		return List.of(Header.authorization("Bearer " + token));
	}

	private static String tampered(String token) {
		int middle = token.lastIndexOf('.') - 5;
		char changed = (token.charAt(middle) == 'A') ? 'B' : 'A';
		return token.substring(0, middle) + changed + token.substring(middle + 1);
	}

	private static TransferRequest transfer(long amount) {
		return TransferRequest.newBuilder().setFromAccount("alice").setToAccount("bob").setAmount(amount).build();
	}

	private static Transaction transaction(long amount) {
		return Transaction.newBuilder().setFromAccount("bob").setToAccount("carol").setAmount(amount).build();
	}

}
