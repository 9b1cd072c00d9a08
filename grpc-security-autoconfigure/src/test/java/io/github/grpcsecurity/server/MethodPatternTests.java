package io.github.grpcsecurity.server;

import java.util.Locale;

import io.github.grpcsecurity.testing.EchoGrpc;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class MethodPatternTests {

	@ParameterizedTest
	@CsvSource({ "bank.Accounts/Get, bank.Accounts/Get", "bank.Accounts/*, bank.Accounts/Get",
			"bank.Accounts/Get*, bank.Accounts/Get", "bank.Accounts/Get*, bank.Accounts/GetBalance",
			"bank.*/*, bank.Accounts/Get", "bank.*/*, bank.internal.v1.Ledger/Post", "*/*, Accounts/Get",
			"*.Accounts/Get, bank.v1.Accounts/Get", "bank.*.v1.*/List*s, bank.eu.v1.Accounts/ListAccounts",
			"*a*a*/*b, xaxxaxa/abab", "**, bank.Accounts/Get", "**, //" })
	void matchesWhenPatternNamesMethodThenTrue(String pattern, String method) {
		assertThat(MethodPattern.parse(pattern).matches(method)).isTrue();
	}

	@ParameterizedTest
	@CsvSource({ "bank.Accounts/Get, bank.Accounts/GetBalance", "bank.Accounts/Get, bank.accounts/Get",
			"bank.Accounts/Get*, bank.Accounts/BatchGet", "bank.*/*, bankrupt.Accounts/Get", "bank.*/*, bank/Get",
			"*.Accounts/Get, Accounts/Get", "*/*, bank.Accounts", "*/*, /Get", "*/*, /bank.Accounts/Get",
			"*/*, bank.Accounts/Get/", "bank.*/*, bank.Accounts/x/Get", "bank.*/Get, bank.Accounts//Get",
			"bank.Accounts/*x, bank.Accounts/xy" })
	void matchesWhenPatternNamesOtherMethodThenFalse(String pattern, String method) {
		assertThat(MethodPattern.parse(pattern).matches(method)).isFalse();
	}

	@Test
	void matchesWhenMethodIsUnknownThenOnlyEverythingMatches() {
		SecuredMethod unknown = new SecuredMethod(FallbackRegistry.UNKNOWN, null, null);

		assertThat(MethodPattern.parse("**").matches(unknown)).isTrue();
		assertThat(MethodPattern.parse("*/*").matches(unknown)).isFalse();
	}

	@Test
	void matchesWhenMethodIsSecuredThenItsFullNameDecides() {
		SecuredMethod method = new SecuredMethod(EchoGrpc.getUnaryMethod(), null, null);

		assertThat(MethodPattern.parse("testing.*/Un*").matches(method)).isTrue();
		assertThat(MethodPattern.parse("testing.Echo/Bidi").matches(method)).isFalse();
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '"',
			value = { "\"\" | empty", "bank.Accounts | no slash", "* | no slash", "/bank.Accounts/Get | leading",
					"bank.Accounts/ | bank.Accounts/* for all", "a/b/c | more than one slash",
					"bank.**/Get | stands alone", "*** | stands alone", "bank.Accounts/Get? | '?' is not part",
					"bank.Accounts/{Get} | '{' is not part", "\"bank.Accounts/Get \" | ' ' is not part" })
	void parseWhenPatternIsBadThenSentenceSaysWhy(String pattern, String why) {
		assertThatIllegalArgumentException().isThrownBy(() -> MethodPattern.parse(pattern))
			.withMessageContaining(why)
			.satisfies((ex) -> assertThat(ex.getMessage().toLowerCase(Locale.ROOT)).contains("method pattern"));
	}

	@Test
	void equalsWhenWrittenTheSameThenEqual() {
		assertThat(MethodPattern.parse("bank.*/*")).isEqualTo(MethodPattern.parse("bank.*/*"))
			.hasSameHashCodeAs(MethodPattern.parse("bank.*/*"))
			.isNotEqualTo(MethodPattern.parse("bank.*/Get"))
			.hasToString("bank.*/*");
	}

}
