package io.github.grpcsecurity.authentication.revocation;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

import io.github.grpcsecurity.authentication.revocation.RevocationSettings.OnFailure;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.VerifiedCredential;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import org.springframework.boot.health.contributor.Status;

import static io.github.grpcsecurity.testing.TestCredentials.credential;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.awaitility.Awaitility.await;

class CredentialRevocationsTests {

	private static final Instant NOW = Instant.parse("2026-03-01T09:00:00Z");

	private static final VerifiedCredential TOKEN = credential("jwt", "https://idp", "id-1", "alice", "key-1",
			NOW.minusSeconds(5), NOW.plusSeconds(60));

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final AtomicLong nanos = new AtomicLong(Long.MAX_VALUE - 1000);

	private final FakeStore store = new FakeStore();

	private final AtomicInteger told = new AtomicInteger();

	private CredentialRevocations revocations = revocations(this.store, OnFailure.DENY, Duration.ofHours(1));

	private CredentialRevocations revocations(RevocationStore shared, OnFailure onFailure, Duration poll) {
		CredentialRevocations made = new CredentialRevocations(shared,
				new RevocationSettings(onFailure, poll, Duration.ofHours(2), Duration.ofDays(30), 100),
				this.threads.scheduler(), () -> NOW, this.nanos::get);
		made.onRevoked(this.told::incrementAndGet);
		return made;
	}

	@AfterEach
	void close() {
		this.revocations.close();
		this.threads.close();
	}

	private static Revocation token(String id) {
		return new Revocation(Revocation.Kind.TOKEN, null, id, null, NOW.plusSeconds(600));
	}

	@Test
	void checkWhenNothingWasEverLoadedThenUnavailableForWhatCanBeRevoked() {
		this.store.failing = true;
		this.revocations.start();

		assertThat(this.revocations.check(TOKEN).kind()).isEqualTo(Refusal.Kind.UNAVAILABLE);
		assertThat(this.revocations.check(credential("certificate", null, null, "a", null, null, null))).isNull();
		assertThat(this.revocations.check(credential("basic", null, null, "a", null, null, null))).isNull();
		assertThat(this.revocations.age()).isNull();
		assertThat(health()).isEqualTo(Status.OUT_OF_SERVICE);
		// Comes back by itself
		this.store.failing = false;
		await().until(() -> this.revocations.check(TOKEN) == null);
		assertThat(health()).isEqualTo(Status.UP);
	}

	private Status health() {
		return new RevocationHealthIndicator(this.revocations).health().getStatus();
	}

	@Test
	void checkWhenNothingWasEverLoadedAndThatIsAllowedThenGood() {
		this.store.failing = true;
		this.revocations = revocations(this.store, OnFailure.ALLOW, Duration.ofHours(1));
		this.revocations.start();

		assertThat(this.revocations.check(TOKEN)).isNull();
		this.revocations.revokeToken(null, "id-1", NOW.plusSeconds(60));
		assertThat(this.revocations.check(TOKEN).kind()).isEqualTo(Refusal.Kind.UNAUTHENTICATED);
		assertThat(health()).isEqualTo(RevocationHealthIndicator.WARNING);
	}

	@Test
	void checkWhenStoreFailsLaterThenWhatIsKnownCountsUntilItIsTooOld() {
		this.store.contents.add(token("id-1"));
		this.revocations.start();
		VerifiedCredential other = credential("jwt", null, "id-2", "bob", null, NOW, null);
		assertThat(this.revocations.check(TOKEN).kind()).isEqualTo(Refusal.Kind.UNAUTHENTICATED);
		this.store.failing = true;
		this.store.missed.run();
		await().until(this.revocations::degraded);
		assertThat(health()).isEqualTo(RevocationHealthIndicator.WARNING);
		assertThat(this.revocations.check(other)).isNull();
		this.nanos.addAndGet(Duration.ofHours(2).toNanos() + 1);

		assertThat(this.revocations.check(TOKEN).kind()).isEqualTo(Refusal.Kind.UNAUTHENTICATED);
		assertThat(this.revocations.check(other).kind()).isEqualTo(Refusal.Kind.UNAVAILABLE);
		assertThat(this.revocations.age()).isEqualTo(Duration.ofHours(2).plusNanos(1));
		assertThat(health()).isEqualTo(Status.OUT_OF_SERVICE);
	}

	@Test
	void revokeWhenOthersTellThenItIsInForceAndListenersHearOfItOnce() {
		this.revocations.start();
		this.store.revoked.accept(token("id-1"));
		this.store.revoked.accept(token("id-1"));

		assertThat(this.revocations.check(TOKEN)).isNotNull();
		assertThat(this.told).hasValue(1);
	}

	@Test
	void revokeWhenNobodyTellsThenThePollFindsIt() {
		this.revocations = revocations(this.store, OnFailure.DENY, Duration.ofMillis(50));
		this.revocations.start();
		assertThat(this.revocations.check(TOKEN)).isNull();
		this.store.contents.add(token("id-1"));

		await().until(() -> this.revocations.check(TOKEN) != null);
		assertThat(this.told).hasValue(1);
	}

	@Test
	void revokeWhenStoreFailsThenInForceHereAndSharedLater() {
		this.revocations.start();
		this.store.failing = true;
		CompletionStage<Void> shared = this.revocations.revokeSubject("https://idp", "alice", NOW);

		assertThat(this.revocations.check(TOKEN).reason()).isEqualTo("the tokens of its subject were revoked");
		assertThat(shared.toCompletableFuture()).isCompletedExceptionally();
		this.store.failing = false;
		this.store.missed.run();
		await().until(() -> this.store.contents.size() == 1);
	}

	@Test
	void revokeWhenStoreLosesItsDataThenItIsWrittenBack() {
		this.revocations.start();
		this.revocations.revokeKey("https://idp", "key-1");
		this.revocations.revokeApiKey("partner-7");
		this.store.contents.clear();
		this.store.missed.run();

		await().until(() -> this.store.contents.size() == 2);
		assertThat(this.revocations.check(TOKEN)).isNotNull();
	}

	@Test
	void revokeWhenThereAreTooManyThenRefusedAndTheStoreIsNotTrusted() {
		this.revocations.start();
		for (int i = 0; i < 100; i++) {
			this.revocations.revokeApiKey("key-" + i);
		}

		assertThatIllegalStateException().isThrownBy(() -> this.revocations.revokeApiKey("one-more"));
		this.store.contents.add(new Revocation(Revocation.Kind.API_KEY, null, "one-more", null, Revocation.FOREVER));
		this.store.missed.run();
		await().until(this.revocations::degraded);
	}

	@Test
	void revokeWhenTokenHasRunOutLongAgoThenNobodyNeedsToKnow() {
		this.revocations.start();
		this.revocations.revokeToken(null, "id-1", NOW.minusSeconds(601));

		assertThat(this.revocations.size()).isZero();
		assertThat(this.store.contents).isEmpty();
	}

	@Test
	void revokeWhenTokenRunsOutThenItIsRememberedForTheSkew() {
		this.revocations = revocations(null, OnFailure.DENY, Duration.ofHours(1));
		this.revocations.start();
		this.revocations.revokeToken(null, "id-1", NOW.minusSeconds(300));
		this.revocations.revokeToken(null, "far", Instant.MAX);

		assertThat(this.revocations.check(TOKEN)).isNotNull();
		assertThat(this.revocations.shared()).isFalse();
		assertThat(this.revocations.age()).isZero();
		assertThat(health()).isEqualTo(Status.UP);
	}

	/** A store in memory that can fail. */
	private static final class FakeStore implements RevocationStore {

		private final List<Revocation> contents = new CopyOnWriteArrayList<>();

		private volatile boolean failing;

		private volatile Consumer<Revocation> revoked;

		private volatile Runnable missed;

		@Override
		public void follow(Consumer<Revocation> revoked, Runnable missed) {
			this.revoked = revoked;
			this.missed = missed;
		}

		@Override
		public CompletionStage<Contents> load(String version) {
			if (this.failing) {
				throw new IllegalStateException("down");
			}
			List<Revocation> all = new ArrayList<>(this.contents);
			String current = Integer.toString(all.hashCode());
			return CompletableFuture.completedFuture(new Contents(current, current.equals(version) ? null : all));
		}

		@Override
		public CompletionStage<?> add(Collection<Revocation> revocations) {
			if (this.failing) {
				return CompletableFuture.failedFuture(new IllegalStateException("down"));
			}
			this.contents.addAll(revocations);
			return CompletableFuture.completedFuture(null);
		}

	}

}
