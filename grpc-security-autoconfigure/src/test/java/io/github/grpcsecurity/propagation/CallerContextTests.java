package io.github.grpcsecurity.propagation;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

import io.grpc.Context;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;

import org.springframework.security.core.context.SecurityContextHolder;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

class CallerContextTests {

	private static final Context.Key<String> KEY = Context.key("test");

	private final ExecutorService pool = Executors.newSingleThreadExecutor();

	@AfterEach
	void stop() {
		SecurityContextHolder.clearContext();
		this.pool.shutdownNow();
	}

	private static String seen() {
		return Callers.holder() + "/" + KEY.get();
	}

	private static CallerContext of(String name) {
		return as(name, CallerContext::capture);
	}

	/** Does something on a thread that works for somebody, without this library. */
	private static <T> T as(String name, Supplier<T> action) {
		Context context = Context.ROOT.withValue(KEY, name);
		Context previous = context.attach();
		SecurityContextHolder.setContext(Callers.identity(name));
		try {
			return action.get();
		}
		finally {
			SecurityContextHolder.clearContext();
			context.detach(previous);
		}
	}

	private String left() throws Exception {
		return this.pool.submit(CallerContextTests::seen).get(10, TimeUnit.SECONDS);
	}

	@Test
	void wrappedWhenRunElsewhereThenBothTravelAndNothingIsLeft() throws Exception {
		CallerContext alice = of("alice");
		List<String> seen = new ArrayList<>();
		this.pool.submit(alice.runnable(() -> seen.add(seen()))).get(10, TimeUnit.SECONDS);
		seen.add(this.pool.submit(alice.callable(CallerContextTests::seen)).get(10, TimeUnit.SECONDS));
		seen.add(CompletableFuture.supplyAsync(alice.supplier(CallerContextTests::seen), this.pool)
			.get(10, TimeUnit.SECONDS));

		assertThat(seen).hasSize(3).containsOnly("alice/alice");
		assertThat(left()).isEqualTo("nobody/null");
	}

	@Test
	void runWhenNestedThenEachLevelHasItsOwn() throws Exception {
		CallerContext nobody = CallerContext.capture();
		CallerContext alice = of("alice");
		CallerContext bob = of("bob");
		List<String> seen = new ArrayList<>();
		alice.run(() -> {
			seen.add(seen());
			bob.run(() -> {
				seen.add(seen());
				nobody.run(() -> seen.add(seen()));
				seen.add(seen());
			});
			seen.add(seen());
		});

		assertThat(seen).containsExactly("alice/alice", "bob/bob", "nobody/null", "bob/bob", "alice/alice");
		assertThat(seen()).isEqualTo("nobody/null");
	}

	@Test
	void runWhenActionThrowsThenThreadHasAgainWhatItHad() {
		CallerContext bob = of("bob");
		as("alice", () -> {
			assertThatExceptionOfType(IllegalStateException.class).isThrownBy(() -> bob.run(() -> {
				throw new IllegalStateException(seen());
			})).withMessage("bob/bob");
			assertThatExceptionOfType(Exception.class).isThrownBy(() -> bob.call(() -> {
				throw new Exception(seen());
			})).withMessage("bob/bob");
			assertThatExceptionOfType(IllegalStateException.class).isThrownBy(() -> bob.supplier(() -> {
				throw new IllegalStateException(seen());
			}).get()).withMessage("bob/bob");
			assertThat(seen()).isEqualTo("alice/alice");
			return null;
		});
		assertThat(seen()).isEqualTo("nobody/null");
	}

	@Test
	void runWhenActionSetsAnIdentityThenItIsNotLeft() {
		of("bob").run(() -> SecurityContextHolder.setContext(Callers.identity("mallory")));

		assertThat(seen()).isEqualTo("nobody/null");
	}

	@Test
	void propagatingWhenTasksAreHandedOverThenTheyRunAsTheirSubmitter() throws Exception {
		ExecutorService executor = CallerContext.propagating(this.pool);
		List<String> seen = new ArrayList<>();
		Callable<String> task = CallerContextTests::seen;
		for (String name : List.of("alice", "bob")) {
			of(name).call(() -> {
				executor.submit(() -> {
					seen.add(seen());
				}).get(10, TimeUnit.SECONDS);
				executor.submit(() -> {
					seen.add(seen());
				}, "").get(10, TimeUnit.SECONDS);
				seen.add(executor.submit(task).get(10, TimeUnit.SECONDS));
				seen.add(executor.invokeAll(List.of(task)).get(0).get(10, TimeUnit.SECONDS));
				seen.add(executor.invokeAll(List.of(task), 10, TimeUnit.SECONDS).get(0).get(10, TimeUnit.SECONDS));
				seen.add(executor.invokeAny(List.of(task)));
				seen.add(executor.invokeAny(List.of(task), 10, TimeUnit.SECONDS));
				seen.add(CompletableFuture.supplyAsync(CallerContextTests::seen, executor).get(10, TimeUnit.SECONDS));
				seen.add(CompletableFuture
					.supplyAsync(CallerContextTests::seen,
							CallerContext.propagating((Runnable r) -> executor.execute(r)))
					.get(10, TimeUnit.SECONDS));
				return null;
			});

			assertThat(seen).hasSize(9).containsOnly(name + "/" + name);
			assertThat(left()).isEqualTo("nobody/null");
			seen.clear();
		}
	}

	@Test
	void propagatingWhenTaskFailsThenFutureHasItsExceptionAndNothingIsLeft() throws Exception {
		ExecutorService executor = CallerContext.propagating(this.pool);

		assertThatExceptionOfType(ExecutionException.class)
			.isThrownBy(() -> of("alice").call(() -> executor.submit(() -> {
				throw new IllegalStateException(seen());
			}).get(10, TimeUnit.SECONDS)))
			.withRootCauseInstanceOf(IllegalStateException.class)
			.withStackTraceContaining("alice/alice");
		assertThat(left()).isEqualTo("nobody/null");
	}

	@Test
	void propagatingWhenClosedThenDelegateIs() throws Exception {
		PropagatingExecutorService executor = new PropagatingExecutorService(this.pool);
		executor.close();

		assertThat(this.pool.isShutdown()).isTrue();
		assertThat(executor.awaitTermination(10, TimeUnit.SECONDS)).isTrue();
		assertThat(executor.isShutdown() && executor.isTerminated()).isTrue();
		assertThat(executor.shutdownNow()).isEmpty();
	}

	@Test
	void executorWhenAStrangerCompletesTheFutureThenStagesRunAsTheCaptured() throws Exception {
		CompletableFuture<String> reply = new CompletableFuture<>();
		CompletableFuture<String> seen = reply.thenApplyAsync((text) -> text + seen(),
				of("alice").executor(Runnable::run));
		of("mallory").run(() -> reply.complete("seen "));

		assertThat(seen.get(10, TimeUnit.SECONDS)).isEqualTo("seen alice/alice");
	}

	@Test
	void detachedWhenCallEndsThenWorkIsNotCancelled() {
		Context.CancellableContext call = Context.ROOT.withValue(KEY, "alice").withCancellation();
		CallerContext[] captured = new CallerContext[1];
		call.run(() -> captured[0] = CallerContext.capture());
		call.cancel(null);

		captured[0].run(() -> assertThat(Context.current().isCancelled()).isTrue());
		captured[0].detached().run(() -> {
			assertThat(Context.current().isCancelled()).isFalse();
			assertThat(KEY.get()).isEqualTo("alice");
		});
	}

	@Test
	@EnabledForJreRange(min = JRE.JAVA_21)
	void propagatingWhenThreadsAreVirtualThenTasksRunAsTheirSubmitter() throws Exception {
		ExecutorService virtual = (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor")
			.invoke(null);
		ExecutorService executor = CallerContext.propagating(virtual);
		try {
			List<CompletableFuture<String>> tasks = new ArrayList<>();
			for (int i = 0; i < 1000; i++) {
				tasks.add(as("caller-" + i, () -> CompletableFuture.supplyAsync(() -> {
					Thread.yield();
					return seen() + " " + isVirtual();
				}, executor)));
			}
			for (int i = 0; i < tasks.size(); i++) {
				String name = "caller-" + i;
				assertThat(tasks.get(i).get(10, TimeUnit.SECONDS)).isEqualTo(name + "/" + name + " true");
			}
		}
		finally {
			executor.shutdownNow();
		}
	}

	private static boolean isVirtual() {
		try {
			return (boolean) Thread.class.getMethod("isVirtual").invoke(Thread.currentThread());
		}
		catch (ReflectiveOperationException ex) {
			throw new AssertionError(ex);
		}
	}

}
