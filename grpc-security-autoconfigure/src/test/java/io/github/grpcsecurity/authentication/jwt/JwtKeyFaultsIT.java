package io.github.grpcsecurity.authentication.jwt;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.KeyPair;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * A key server that does everything wrong, one fault after the other, for half an hour of
 * a clock that the test turns.
 */
class JwtKeyFaultsIT {

	private static final String[] FAULTS = { "500", "hang", "garbage", "large", "drip", "empty", "refuse", "redirect" };

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final ExecutorService workers = Executors.newCachedThreadPool();

	private final AtomicLong seconds = new AtomicLong(TestTokens.NOW.getEpochSecond());

	private final Timer timer = new Timer();

	private final ConcurrentLinkedQueue<Long> fetches = new ConcurrentLinkedQueue<>();

	private final CountDownLatch release = new CountDownLatch(1);

	private volatile String fault = "";

	private volatile String published = TestTokens.jwkSet(TestTokens.rsa(TestTokens.RSA, "key-0"));

	private HttpServer http;

	private JwtCredentialAuthenticator authenticator;

	@BeforeEach
	void startKeyServer() throws Exception {
		this.http = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
		this.http.setExecutor(this.workers);
		this.http.createContext("/", (exchange) -> {
			long second = this.seconds.get();
			// The HTTP client of the JDK repeats a request whose connection broke
			if (!this.fault.equals("refuse") || !this.fetches.contains(second)) {
				this.fetches.add(second);
			}
			try (exchange) {
				answer(exchange);
			}
			catch (InterruptedException ex) {
				Thread.currentThread().interrupt();
			}
		});
		this.http.start();
	}

	@AfterEach
	void stop() {
		this.release.countDown();
		this.threads.close();
		this.timer.shutdownNow();
		this.http.stop(0);
		this.workers.shutdownNow();
	}

	private void answer(HttpExchange exchange) throws java.io.IOException, InterruptedException {
		byte[] body = switch (this.fault) {
			case "garbage" -> "<html>maintenance</html>".getBytes(StandardCharsets.UTF_8);
			case "large" -> new byte[10 * 1024 * 1024];
			case "empty" -> "{\"keys\":[]}".getBytes(StandardCharsets.UTF_8);
			default -> this.published.getBytes(StandardCharsets.UTF_8);
		};
		switch (this.fault) {
			case "hang" -> this.release.await(20, TimeUnit.SECONDS);
			case "drip" -> {
				exchange.sendResponseHeaders(200, 0);
				do {
					exchange.getResponseBody().write(' ');
					exchange.getResponseBody().flush();
				}
				while (!this.release.await(100, TimeUnit.MILLISECONDS));
			}
			case "refuse" -> exchange.close();
			default -> {
				if (this.fault.equals("redirect")) {
					exchange.getResponseHeaders().add("location", "/elsewhere");
				}
				int status = this.fault.equals("500") ? 500 : this.fault.equals("redirect") ? 302 : 200;
				exchange.sendResponseHeaders(status, body.length);
				exchange.getResponseBody().write(body);
			}
		}
	}

	@Test
	void callWhenKeyServerFailsAndRotatesThenNoGoodTokenIsRefusedAndItIsAskedTwiceAMinuteAtMost() throws Exception {
		InstantSource clock = () -> Instant.ofEpochSecond(this.seconds.get());
		this.authenticator = JwtCredentialAuthenticator.builder(this.threads)
			.clock(clock)
			.scheduler(this.timer)
			.issuers(List.of(TestTokens.issuer()
				.jwkSetUri(URI.create("http://127.0.0.1:" + this.http.getAddress().getPort() + "/jwks"))
				.build()))
			.build();
		AtomicBoolean stop = new AtomicBoolean();
		AtomicLong calls = new AtomicLong();
		ConcurrentHashMap<String, Code> refused = new ConcurrentHashMap<>();
		List<Future<?>> callers = new ArrayList<>();
		String[] token = { null };
		long started = System.nanoTime();
		try (TestServer server = TestServer.inProcess(new EchoService(),
				List.of(AuthenticationStage.builder().authenticators(List.of(this.authenticator)).build()))) {
			waitUntil(() -> this.authenticator.startAndWait(Duration.ofSeconds(5)).isEmpty());
			this.fetches.clear();
			synchronized (token) {
				token[0] = sign(TestTokens.RSA, "key-0");
			}
			for (int i = 0; i < 3; i++) {
				callers.add(this.workers.submit(() -> {
					while (!stop.get()) {
						String current;
						synchronized (token) {
							current = token[0];
						}
						Code code = CallType.UNARY.call(server.channel(), TestTokens.bearer(current), "x").code();
						if (code != Code.OK) {
							refused.put(this.fault + " at " + this.seconds.get(), code);
						}
						calls.incrementAndGet();
					}
				}));
			}
			for (int minute = 1; minute <= 24; minute++) {
				// Two minutes of a fault, then one in which the keys rotate
				this.fault = (minute % 3 != 0) ? FAULTS[(minute / 3) % FAULTS.length] : "";
				if (minute % 3 == 0) {
					KeyPair next = (minute % 2 == 0) ? TestTokens.RSA : TestTokens.OTHER_RSA;
					this.published = TestTokens.jwkSet(TestTokens.rsa(next, "key-" + minute),
							TestTokens.rsa(this.lastPair, this.lastKey));
					turn(60);
					synchronized (token) {
						token[0] = sign(next, "key-" + minute);
					}
					atLeast(calls, calls.get() + 200);
				}
				else {
					for (int i = 0; i < 6; i++) {
						// Somebody makes up names of keys, so that they are looked for
						String madeUp = TestTokens.token().header("kid", "unknown" + i).sign();
						assertThat(CallType.UNARY.call(server.channel(), TestTokens.bearer(madeUp), "x").code())
							.isNotEqualTo(Code.OK);
						turn(10);
					}
					synchronized (token) {
						token[0] = again(token[0]);
					}
					atLeast(calls, calls.get() + 50);
				}
			}
			stop.set(true);
			for (Future<?> caller : callers) {
				caller.get(20, TimeUnit.SECONDS);
			}
		}
		double perSecond = calls.get() * 1e9 / (System.nanoTime() - started);

		assertThat(refused).isEmpty();
		assertThat(calls.get()).isGreaterThan(1000);
		List<Long> times = new ArrayList<>(this.fetches);
		for (int i = 2; i < times.size(); i++) {
			assertThat(times.get(i) - times.get(i - 2)).as("%s", times).isGreaterThanOrEqualTo(60);
		}
		assertThat(times).hasSizeGreaterThan(20);
		System.getLogger(getClass().getName())
			.log(System.Logger.Level.INFO,
					calls + " calls, " + (long) perSecond + " a second, " + times.size() + " fetches");
	}

	private String lastKey = "key-0";

	private KeyPair lastPair = TestTokens.RSA;

	private String sign(KeyPair pair, String id) {
		this.lastKey = id;
		this.lastPair = pair;
		return again(id);
	}

	private String again(String ignored) {
		long now = this.seconds.get();
		return TestTokens.token()
			.claim("iat", now)
			.claim("exp", now + 600)
			.signedBy("RS256", this.lastKey, this.lastPair.getPrivate())
			.sign();
	}

	/** Turns the clock, second by second. */
	private void turn(int time) {
		RemoteKeys keys = this.authenticator.remoteKeys().get(TestTokens.ISSUER);
		for (int i = 0; i < time; i++) {
			this.seconds.incrementAndGet();
			this.timer.runDue(this.seconds.get());
			waitUntil(() -> !keys.fetching());
		}
	}

	private static void atLeast(AtomicLong calls, long count) {
		waitUntil(() -> calls.get() >= count);
	}

	private static void waitUntil(BooleanSupplier condition) {
		long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
		while (!condition.getAsBoolean()) {
			assertThat(System.nanoTime()).isLessThan(until);
			Thread.yield();
		}
	}

	/** Runs what is due when the test says so. */
	private final class Timer extends ScheduledThreadPoolExecutor {

		private final PriorityQueue<Task> tasks = new PriorityQueue<>(
				(one, other) -> Long.compare(one.due(), other.due()));

		Timer() {
			super(1);
		}

		private record Task(long due, Runnable command, ScheduledFuture<?> future) {
		}

		@Override
		public ScheduledFuture<?> schedule(Runnable command, long delay, TimeUnit unit) {
			ScheduledFuture<?> future = super.schedule((Callable<Object>) () -> null, 1, TimeUnit.DAYS);
			synchronized (this.tasks) {
				this.tasks.add(new Task(JwtKeyFaultsIT.this.seconds.get() + unit.toSeconds(delay), command, future));
			}
			return future;
		}

		void runDue(long now) {
			while (true) {
				Task task;
				synchronized (this.tasks) {
					task = this.tasks.peek();
					if (task == null || task.due() > now) {
						return;
					}
					this.tasks.remove();
				}
				if (!task.future().isCancelled()) {
					task.command().run();
				}
			}
		}

	}

}
