package io.github.grpcsecurity.authorization.opa;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.InstantSource;
import java.util.concurrent.atomic.AtomicReference;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

/**
 * Tests for {@link TokenFile}.
 */
class TokenFileTests {

	private final AtomicReference<Instant> now = new AtomicReference<>(Instant.parse("2026-01-01T00:00:00Z"));

	private final InstantSource clock = this.now::get;

	@TempDir
	private Path directory;

	@Test
	void tokenWhenContentChangesThenNewOneIsUsedWithinASecond() throws IOException {
		Path file = Files.writeString(this.directory.resolve("token"), "one\n");
		TokenFile token = new TokenFile(new FileSystemResource(file), this.clock);
		Files.writeString(file, "two");

		assertThat(token.token()).isEqualTo("one");
		this.now.updateAndGet((time) -> time.plusSeconds(1));
		assertThat(token.token()).isEqualTo("two");
	}

	@Test
	void tokenWhenFileGoesAwayThenLastOneIsUsedOn() throws IOException {
		Path file = Files.writeString(this.directory.resolve("token"), "one");
		TokenFile token = new TokenFile(new FileSystemResource(file), this.clock);
		Files.delete(file);
		this.now.updateAndGet((time) -> time.plusSeconds(5));

		assertThat(token.token()).isEqualTo("one");
		Files.writeString(file, "two");
		this.now.updateAndGet((time) -> time.plusSeconds(5));
		assertThat(token.token()).isEqualTo("two");
	}

	@ParameterizedTest
	@ValueSource(strings = { "", "  \n", "one two", "one\ntwo", "caf\u00e9" })
	void createWhenThereIsNoTokenThenRefused(String content) throws IOException {
		Path file = Files.writeString(this.directory.resolve("token"), content);

		assertThatIllegalArgumentException().isThrownBy(() -> new TokenFile(new FileSystemResource(file), this.clock))
			.withMessageStartingWith("it ");
	}

	@Test
	void createWhenThereIsNoFileThenRefused() {
		assertThatIllegalArgumentException()
			.isThrownBy(() -> new TokenFile(new FileSystemResource(this.directory.resolve("none")), this.clock))
			.withMessage("there is no file of this name");
	}

	@Test
	void toStringWhenPrintedThenHidesToken() throws IOException {
		Path file = Files.writeString(this.directory.resolve("token"), "c4n4ry");

		assertThat(new TokenFile(new FileSystemResource(file), this.clock)).asString().doesNotContain("c4n4ry");
	}

}
