package io.github.grpcsecurity.authentication.apikey;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.awaitility.Awaitility.await;

@ExtendWith(OutputCaptureExtension.class)
class ApiKeyFileTests {

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final List<Set<String>> withdrawn = new CopyOnWriteArrayList<>();

	@TempDir
	Path directory;

	private Path path;

	@BeforeEach
	void writeFile() throws IOException {
		this.path = this.directory.resolve("keys");
		write("a b");
	}

	@AfterEach
	void stopThreads() {
		this.threads.close();
	}

	private void write(String ids) throws IOException {
		Files.writeString(this.path, ids);
	}

	private ApiKeyFile file(Duration interval) {
		ApiKeyFile file = new ApiKeyFile(new FileSystemResource(this.path), ApiKeyFileTests::parse, interval,
				this.threads);
		file.addListener(this.withdrawn::add);
		return file;
	}

	private static List<ApiKey> parse(byte[] content) {
		List<ApiKey> keys = new ArrayList<>();
		for (String id : new String(content, StandardCharsets.UTF_8).split(" ")) {
			keys.add(TestKeys.apiKey(id).build());
		}
		return keys;
	}

	private static boolean knows(ApiKeyFile file, String id) {
		return file.find(id).toCompletableFuture().join().isPresent();
	}

	@Test
	void lookWhenContentDiffersThenTakesItAtTheSecondLook() throws IOException {
		try (ApiKeyFile file = file(Duration.ZERO)) {
			file.start();
			write("b c");

			assertThat(file.look()).isTrue();
			assertThat(knows(file, "a")).isTrue();
			assertThat(file.look()).isFalse();
			assertThat(knows(file, "a")).isFalse();
			assertThat(knows(file, "c")).isTrue();
			assertThat(this.withdrawn).containsExactly(Set.of("a"));
		}
	}

	@Test
	void lookWhenFileIsBadOrMissingThenLastKeysStayAndLogSaysSoOnce(CapturedOutput output) throws IOException {
		try (ApiKeyFile file = file(Duration.ZERO)) {
			file.start();
			write("a b a");
			for (int i = 0; i < 4; i++) {
				file.look();
			}
			assertThat(output.getOut().lines().filter((line) -> line.contains("the previous ones stay in force")))
				.hasSize(1)
				.allMatch((line) -> line.contains("two keys have the id 'a'"));
			Files.delete(this.path);
			file.look();
			assertThat(output).contains("it cannot be read");
			assertThat(knows(file, "a") && knows(file, "b")).isTrue();
			assertThat(this.withdrawn).isEmpty();
			write("b");
			file.look();
			file.look();
			assertThat(this.withdrawn).containsExactly(Set.of("a"));
		}
	}

	@Test
	void startWhenFileIsBadOrMissingThenFails() throws IOException {
		write("a a");
		assertThatIllegalArgumentException().isThrownBy(() -> file(Duration.ZERO).start());
		Files.delete(this.path);
		assertThatIllegalArgumentException().isThrownBy(() -> file(Duration.ZERO).start())
			.withMessageContaining("cannot be read");
	}

	@Test
	void startWhenThereIsAnIntervalThenChangesAreNoticed() throws IOException {
		try (ApiKeyFile file = file(Duration.ofMillis(100))) {
			file.start();
			write("b");

			await().until(() -> !knows(file, "a"));
			assertThat(knows(file, "b")).isTrue();
		}
	}

	@Test
	void makerThenKeyIsLongAndItsHashIsThatOfTheSettings() {
		ByteArrayOutputStream bytes = new ByteArrayOutputStream();
		new ApiKeyMaker(new SecureRandom()).print("partner-7", new PrintStream(bytes, true, StandardCharsets.UTF_8));
		List<String> lines = bytes.toString(StandardCharsets.UTF_8).lines().toList();

		String key = lines.get(1);
		assertThat(key).matches("partner-7\\.[A-Za-z0-9_-]{43}");
		assertThat(lines).containsOnlyOnce(key)
			.contains("    - id: partner-7", "      hash: \"" + ApiKeyHash.of(key).text() + "\"");
		assertThat(lines.stream().filter((line) -> line.contains(key.substring(10)))).hasSize(1);
	}

}
