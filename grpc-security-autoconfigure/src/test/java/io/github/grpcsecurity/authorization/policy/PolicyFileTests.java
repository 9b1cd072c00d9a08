package io.github.grpcsecurity.authorization.policy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.core.io.ClassPathResource;
import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/** What happens when a policy file changes. */
@ExtendWith(OutputCaptureExtension.class)
class PolicyFileTests {

	@TempDir
	Path directory;

	private final AtomicReference<Instant> now = new AtomicReference<>(Instant.parse("2026-01-01T00:00:00Z"));

	private final List<String> told = new ArrayList<>();

	private final PolicyAuditLoggers loggers = new PolicyAuditLoggers(List.of(), Runnable::run, List.of());

	private Path path;

	private PolicyFile file;

	@BeforeEach
	void load() throws Exception {
		this.path = Files.writeString(this.directory.resolve("policy.json"), Policies.allowPath("first", "/a/*"));
		this.file = file(this.path);
	}

	private PolicyFile file(Path path) {
		return new PolicyFile(PolicyFile.Role.LIVE, "test.property", path.toString(), new FileSystemResource(path),
				this.loggers, this.now::get, List.of(new PolicyObserver() {
					@Override
					public void adopted(PolicyFile file) {
						PolicyFileTests.this.told.add("adopted " + file.policy().name());
					}

					@Override
					public void failed(PolicyFile file, RuntimeException cause) {
						PolicyFileTests.this.told.add("failed");
					}
				}));
	}

	private void write(String content) throws Exception {
		Files.writeString(this.path, content);
	}

	@Test
	void newWhenFileIsMissingOrBadThenThrows() throws Exception {
		assertThatExceptionOfType(InvalidPolicyException.class).isThrownBy(() -> file(this.directory.resolve("none")))
			.withMessageContaining("cannot be read (FileNotFoundException)");
		write("{}");
		assertThatExceptionOfType(InvalidPolicyException.class).isThrownBy(() -> file(this.path));
		Path large = Files.write(this.directory.resolve("large"), new byte[3 << 20]);
		assertThatExceptionOfType(InvalidPolicyException.class).isThrownBy(() -> file(large))
			.withMessageContaining("larger than 1 MiB");
	}

	@Test
	void lookWhenNothingChangedThenKeepsVersion() {
		PolicyFile.Version version = this.file.current();

		assertThat(this.file.look()).isFalse();
		assertThat(this.file.current()).isSameAs(version);
		assertThat(this.told).containsExactly("adopted first");
	}

	@Test
	void lookWhenContentChangedThenAdoptsWhatIsThereTwice() throws Exception {
		write(Policies.allowPath("second", "/a/*"));
		this.now.set(this.now.get().plusSeconds(60));

		assertThat(this.file.look()).isTrue();
		assertThat(this.file.policy().name()).isEqualTo("first");
		assertThat(this.file.look()).isFalse();
		assertThat(this.file.policy().name()).isEqualTo("second");
		assertThat(this.file.since()).isEqualTo(this.now.get());
		this.now.set(this.now.get().plusSeconds(5));
		assertThat(this.file.age()).isEqualTo(Duration.ofSeconds(5));
		assertThat(this.told).containsExactly("adopted first", "adopted second");
	}

	@Test
	void lookWhenContentGoesOnChangingThenWaits() throws Exception {
		write(Policies.allowPath("second", "/a/*").substring(0, 20));
		assertThat(this.file.look()).isTrue();
		write(Policies.allowPath("second", "/a/*"));
		assertThat(this.file.look()).isTrue();
		assertThat(this.file.look()).isFalse();

		assertThat(this.file.policy().name()).isEqualTo("second");
		assertThat(this.file.lastError()).isNull();
		assertThat(this.told).doesNotContain("failed");
	}

	@Test
	void lookWhenLinkIsSwappedAndTimesAreTheSameThenAdopts() throws Exception {
		Path second = Files.writeString(this.directory.resolve("second.json"), Policies.allowPath("swapped", "/a/*"));
		Files.setLastModifiedTime(second, Files.getLastModifiedTime(this.path));
		Path link = Files.createSymbolicLink(this.directory.resolve("link"), this.path);
		PolicyFile linked = file(link);
		Path next = Files.createSymbolicLink(this.directory.resolve("tmp"), second);
		Files.move(next, link, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);

		linked.look();
		linked.look();

		assertThat(linked.policy().name()).isEqualTo("swapped");
	}

	@Test
	void lookWhenContentIsBadThenKeepsLastGoodAndSaysSoOnceAndEachHour(CapturedOutput output) throws Exception {
		write("{'bad'");
		Instant since = this.now.get();
		look(3);

		assertThat(this.file.policy().name()).isEqualTo("first");
		assertThat(this.file.lastError()).contains("no JSON");
		assertThat(this.file.failingSince()).isEqualTo(since);
		assertThat(output).containsOnlyOnce("stays in force");

		this.now.set(since.plus(Duration.ofMinutes(59)));
		look(2);
		assertThat(output).containsOnlyOnce("stays in force");
		this.now.set(since.plus(Duration.ofMinutes(60)));
		look(2);
		assertThat(output.toString().split("stays in force", -1)).hasSize(3);
		this.now.set(since.plus(Duration.ofMinutes(119)));
		look(2);
		assertThat(output.toString().split("stays in force", -1)).hasSize(3);
		this.now.set(since.plus(Duration.ofMinutes(120)));
		look(1);
		assertThat(output.toString().split("stays in force", -1)).hasSize(4);
		assertThat(this.file.failingSince()).isEqualTo(since);
	}

	@Test
	void lookWhenContentIsBadInAnotherWayThenSaysSoAtOnce(CapturedOutput output) throws Exception {
		write("{}");
		look(2);
		write("[]");
		look(2);
		Files.delete(this.path);
		look(2);

		assertThat(output.toString().split("stays in force", -1)).hasSize(4);
		assertThat(output).contains("There is no name", "wrong type", "cannot be read");
		assertThat(this.file.policy().name()).isEqualTo("first");
	}

	@Test
	void lookWhenBadContentIsCorrectedThenAdopts() throws Exception {
		write("{}");
		look(2);
		write(Policies.allowPath("second", "/a/*"));
		look(2);

		assertThat(this.file.policy().name()).isEqualTo("second");
		assertThat(this.file.lastError()).isNull();
		assertThat(this.file.failingSince()).isNull();
	}

	@Test
	void lookWhenLastGoodContentIsRestoredThenHealthy() throws Exception {
		write("{}");
		look(2);
		write(Policies.allowPath("first", "/a/*"));
		look(1);

		assertThat(this.file.lastError()).isNull();
		assertThat(this.told).containsExactly("adopted first", "failed");
	}

	@Test
	void reloadWhenLoggerIsUnknownThenKeepsLastGood() throws Exception {
		write(withLogger("second", "nobody"));

		assertThat(this.file.reload()).isFalse();
		assertThat(this.file.policy().name()).isEqualTo("first");
		assertThat(this.file.lastError()).contains("/audit_logging_options/audit_loggers/0/name", "'nobody'");
	}

	@Test
	void reloadWhenPolicyIsReplacedThenItsLoggersAreClosed() throws Exception {
		AtomicInteger open = new AtomicInteger();
		PolicyAuditLoggers own = new PolicyAuditLoggers(List.of(new PolicyAuditLoggerFactory() {
			@Override
			public String name() {
				return "own";
			}

			@Override
			public PolicyAuditLogger create(Map<String, Object> config) {
				open.incrementAndGet();
				return new PolicyAuditLogger() {
					@Override
					public void log(PolicyAuditEvent event) {
					}

					@Override
					public void close() {
						open.decrementAndGet();
					}
				};
			}
		}), Runnable::run, List.of());
		write(withLogger("one", "own"));
		PolicyFile audited = new PolicyFile(PolicyFile.Role.LIVE, "p", "v", new FileSystemResource(this.path), own,
				this.now::get, List.of());
		write(withLogger("two", "own"));
		audited.reload();
		assertThat(open).hasValue(1);
		// The first of two is made before the second turns out to be missing
		write(withLogger("three", "own\"}, {\"name\": \"nobody"));
		audited.reload();
		assertThat(audited.policy().name()).isEqualTo("two");
		assertThat(open).hasValue(1);
		write(Policies.allowPath("four", "*"));
		audited.reload();

		assertThat(open).hasValue(0);
	}

	@Test
	void changesWhenOnClassPathThenNever() {
		assertThat(this.file.changes()).isTrue();
		PolicyFile fixed = new PolicyFile(PolicyFile.Role.LIVE, "p", "v", new ClassPathResource("policies/echo.json"),
				this.loggers, this.now::get, List.of());
		assertThat(fixed.changes()).isFalse();
	}

	private void look(int times) {
		for (int i = 0; i < times; i++) {
			this.file.look();
		}
	}

	private static String withLogger(String policy, String logger) {
		return ("{'name': '" + policy + "', 'allow_rules': [{'name': 'a'}], 'audit_logging_options': {'audit_loggers': "
				+ "[{'name': '" + logger + "'}]}}")
			.replace('\'', '"');
	}

}
