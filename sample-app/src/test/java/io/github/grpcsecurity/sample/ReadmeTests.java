package io.github.grpcsecurity.sample;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;

import static org.assertj.core.api.Assertions.assertThat;

/** What the README shows is what the project's own files say. */
class ReadmeTests {

	private static final Path ROOT = Path.of("..");

	private static final Pattern SNIPPET = Pattern.compile("<!-- snippet: ([^#\\s]+)#(\\S+) -->\n```\\w*\n(.*?)```",
			Pattern.DOTALL);

	@Test
	void snippetsWhenReadmeShowsFilesThenTheyAreTheSame() throws IOException {
		Matcher matcher = SNIPPET.matcher(Files.readString(ROOT.resolve("README.md")));
		int count = 0;
		while (matcher.find()) {
			count++;
			assertThat(matcher.group(3)).as("%s#%s", matcher.group(1), matcher.group(2))
				.isEqualTo(region(ROOT.resolve(matcher.group(1)), matcher.group(2)));
		}
		assertThat(count).isGreaterThanOrEqualTo(5);
	}

	@Test
	void commandsWhenReadmeNamesThemThenCiRunsTheTests() throws IOException {
		assertThat(Files.readString(ROOT.resolve("README.md"))).contains("./mvnw verify")
			.contains("./mvnw -q -Psample");
		assertThat(Files.readString(ROOT.resolve(".ci/run"))).containsPattern("\\./mvnw .*verify");
	}

	private static String region(Path file, String tag) throws IOException {
		List<String> lines = new ArrayList<>();
		boolean inside = false;
		for (String line : Files.readAllLines(file)) {
			if (line.contains("end::" + tag + "[]")) {
				inside = false;
			}
			else if (line.contains("tag::" + tag + "[]")) {
				inside = true;
			}
			else if (inside) {
				lines.add(line);
			}
		}
		int indent = lines.stream()
			.filter((line) -> !line.isBlank())
			.mapToInt((line) -> line.length() - line.stripLeading().length())
			.min()
			.orElse(0);
		StringBuilder text = new StringBuilder();
		lines.forEach((line) -> text.append(line.isBlank() ? "" : line.substring(indent)).append('\n'));
		return text.toString();
	}

}
