package io.github.grpcsecurity.sample;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.util.ClassUtils;

import static org.assertj.core.api.Assertions.assertThat;

/** The starter brings what its settings need, so that none of them asks for more. */
class StarterClassPathTests {

	@ParameterizedTest
	@ValueSource(strings = { "tools.jackson.core.json.JsonFactory", "com.google.protobuf.util.JsonFormat",
			"dev.cel.bundle.Cel", "com.github.benmanes.caffeine.cache.Caffeine" })
	void classWhenAuthorizationNeedsItThenTheStarterBringsIt(String name) {
		assertThat(ClassUtils.isPresent(name, getClass().getClassLoader())).isTrue();
	}

}
