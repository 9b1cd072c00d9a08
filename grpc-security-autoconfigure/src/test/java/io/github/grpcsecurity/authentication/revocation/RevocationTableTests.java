package io.github.grpcsecurity.authentication.revocation;

import java.time.Instant;
import java.util.List;

import io.github.grpcsecurity.authentication.revocation.Revocation.Kind;
import io.github.grpcsecurity.server.VerifiedCredential;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static io.github.grpcsecurity.testing.TestCredentials.credential;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

class RevocationTableTests {

	private static final Instant NOW = Instant.parse("2026-03-01T09:00:00Z");

	private static final Instant LATER = NOW.plusSeconds(60);

	private final RevocationTable table = new RevocationTable(3);

	private static VerifiedCredential token(Instant issuedAt) {
		return credential("jwt", "https://idp", "id-1", "alice", "key-1", issuedAt, null);
	}

	private void revoke(Kind kind, String issuer, String name, Instant before) {
		this.table.add(List.of(new Revocation(kind, issuer, name, before, LATER)), NOW);
	}

	@Test
	void findWhenTokenIsRevokedThenOnlyThatOfItsIssuer() {
		revoke(Kind.TOKEN, "https://idp", "id-1", null);

		assertThat(this.table.find(token(NOW), NOW)).isEqualTo(Kind.TOKEN);
		assertThat(this.table.find(credential("jwt", "https://other", "id-1", "alice", null, NOW, null), NOW)).isNull();
		assertThat(this.table.find(credential("jwt", "https://idp", "id-2", "alice", null, NOW, null), NOW)).isNull();
		assertThat(this.table.find(credential("api-key", "https://idp", "id-1", "alice", null, NOW, null), NOW))
			.isNull();
	}

	@Test
	void findWhenIssuerDoesNotMatterThenWhicheverItIs() {
		revoke(Kind.TOKEN, null, "id-1", null);

		assertThat(this.table.find(token(NOW), NOW)).isEqualTo(Kind.TOKEN);
		assertThat(this.table.find(credential("opaque-token", null, "id-1", "alice", null, NOW, null), NOW))
			.isEqualTo(Kind.TOKEN);
	}

	@Test
	void findWhenSubjectIsRevokedThenTokensFromBeforeAndThoseThatDoNotTell() {
		revoke(Kind.SUBJECT, "https://idp", "alice", NOW);

		assertThat(this.table.find(token(NOW.minusMillis(1)), NOW)).isEqualTo(Kind.SUBJECT);
		assertThat(this.table.find(token(NOW), NOW)).isNull();
		assertThat(this.table.find(token(null), NOW)).isEqualTo(Kind.SUBJECT);
	}

	@Test
	void findWhenSubjectIsRevokedAgainThenTheLaterInstantCounts() {
		revoke(Kind.SUBJECT, "https://idp", "alice", NOW);
		revoke(Kind.SUBJECT, "https://idp", "alice", NOW.minusSeconds(50));

		assertThat(this.table.find(token(NOW.minusMillis(1)), NOW)).isEqualTo(Kind.SUBJECT);
		assertThat(this.table.size()).isEqualTo(1);
	}

	@Test
	void findWhenTokenHasAClaimThenItIsTheSubjectAndNotTheName() {
		revoke(Kind.SUBJECT, null, "sub-1", NOW);
		VerifiedCredential token = VerifiedCredential
			.builder("jwt", VerifiedCredential.Subject.USER, token(null).authentication())
			.claims(java.util.Map.of("sub", "sub-1"))
			.build();

		assertThat(this.table.find(token, NOW)).isEqualTo(Kind.SUBJECT);
		assertThat(this.table.find(token(null), NOW)).isNull();
	}

	@Test
	void findWhenKeysAreRevokedThenTheirCredentials() {
		revoke(Kind.KEY, "https://idp", "key-1", null);
		revoke(Kind.API_KEY, null, "partner-7", null);

		assertThat(this.table.find(token(NOW), NOW)).isEqualTo(Kind.KEY);
		assertThat(this.table.find(credential("api-key", null, "partner-7", "p", null, null, null), NOW))
			.isEqualTo(Kind.API_KEY);
		assertThat(this.table.find(credential("jwt", null, "partner-7", "p", null, null, null), NOW)).isNull();
	}

	@ParameterizedTest
	@ValueSource(strings = { "certificate", "basic" })
	void findWhenCredentialIsNoTokenThenSubjectsDoNotMatter(String kind) {
		revoke(Kind.SUBJECT, null, "alice", NOW);

		assertThat(this.table.find(credential(kind, null, null, "alice", null, null, null), NOW)).isNull();
	}

	@Test
	void findWhenRevocationIsOverThenNothing() {
		revoke(Kind.TOKEN, "https://idp", "id-1", null);

		assertThat(this.table.find(token(NOW), LATER)).isNull();
		this.table.purge(LATER);
		assertThat(this.table.size()).isZero();
	}

	@Test
	void addWhenThereIsNoRoomThenRefusedUnlessOthersAreOver() {
		for (int i = 0; i < 3; i++) {
			revoke(Kind.TOKEN, null, "id-" + i, null);
		}

		assertThatIllegalStateException().isThrownBy(() -> revoke(Kind.TOKEN, null, "id-3", null))
			.withMessage("more than 3 revocations are in force");
		revoke(Kind.TOKEN, null, "id-2", null);
		assertThat(
				this.table.add(List.of(new Revocation(Kind.TOKEN, null, "id-3", null, LATER.plusSeconds(60))), LATER))
			.isTrue();
		assertThat(this.table.size()).isEqualTo(1);
	}

	@Test
	void missingInWhenOthersKnowLessThenThat() {
		revoke(Kind.TOKEN, null, "id-1", null);
		revoke(Kind.SUBJECT, null, "alice", NOW);
		revoke(Kind.KEY, null, "key", null);
		List<Revocation> there = List.of(new Revocation(Kind.TOKEN, null, "id-1", null, LATER.plusSeconds(1)),
				new Revocation(Kind.SUBJECT, null, "alice", NOW.minusSeconds(1), LATER));

		assertThat(this.table.missingIn(there, NOW)).extracting(Revocation::kind)
			.containsExactlyInAnyOrder(Kind.SUBJECT, Kind.KEY);
	}

	@Test
	void revocationWhenItNamesNothingThenRefused() {
		assertThatIllegalArgumentException().isThrownBy(() -> new Revocation(Kind.TOKEN, null, "", null, LATER));
		assertThatIllegalArgumentException().isThrownBy(() -> new Revocation(Kind.TOKEN, "", "x", null, LATER));
		assertThatIllegalArgumentException().isThrownBy(() -> new Revocation(Kind.TOKEN, null, "x", NOW, LATER));
		assertThatIllegalArgumentException().isThrownBy(() -> new Revocation(Kind.SUBJECT, null, "x", null, LATER));
	}

}
