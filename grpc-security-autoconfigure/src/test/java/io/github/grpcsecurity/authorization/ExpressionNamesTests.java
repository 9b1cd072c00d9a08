package io.github.grpcsecurity.authorization;

import org.junit.jupiter.api.Test;

import org.springframework.expression.spel.standard.SpelExpressionParser;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Tests for {@link ExpressionNames}.
 */
class ExpressionNamesTests {

	@Test
	void ofWhenVariablesAreAnywhereThenFindsThem() {
		assertThat(names("#a.x > 1 ? {#b, 'y'}.contains(#c[#d]) : !#e?.f(#g) or #h(#i)").variables())
			.containsExactlyInAnyOrder("a", "b", "c", "d", "e", "g", "h", "i");
	}

	@Test
	void ofWhenVariablesAreInSelectionsThenFindsThem() {
		ExpressionNames names = names("#list.?[#this.x == #y and z > 0].![w]");

		assertThat(names.variables()).containsExactlyInAnyOrder("list", "y");
		assertThat(names.properties()).isEmpty();
		assertThat(names.root()).isFalse();
	}

	@Test
	void ofWhenRootIsHandedOnThenSaysSo() {
		assertThat(names("@authz.check(#root)").root()).isTrue();
		assertThat(names("@authz.check(#this)").root()).isTrue();
		assertThat(names("hasRole('A')").root()).isFalse();
	}

	@Test
	void ofWhenBeansThenFindsThem() {
		assertThat(names("@one.check() and @'two.b'.check(authentication)").beans()).containsExactlyInAnyOrder("one",
				"two.b");
	}

	@Test
	void ofWhenMembersThenFindsThoseOfTheRootOnly() {
		ExpressionNames names = names("hasRole('A') and authentication.name.equals(principal)");

		assertThat(names.methods()).containsExactly("hasRole");
		assertThat(names.properties()).containsExactlyInAnyOrder("authentication", "principal");
	}

	private static ExpressionNames names(String expression) {
		return ExpressionNames.of(new SpelExpressionParser().parseExpression(expression));
	}

}
