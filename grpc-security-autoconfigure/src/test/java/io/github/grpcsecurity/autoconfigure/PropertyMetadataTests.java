package io.github.grpcsecurity.autoconfigure;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.regex.Pattern;
import java.util.stream.Stream;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** Every property tells people in their IDE what it is for. */
class PropertyMetadataTests {

	@Test
	void metadataWhenPropertiesAreListedThenEachIsOursAndDescribed() throws IOException {
		List<JsonObject> properties = properties();

		assertThat(properties).hasSizeGreaterThan(50).allSatisfy((property) -> {
			String name = property.get("name").getAsString();
			assertThat(name).matches(
					"(grpc\\.security|management\\.endpoint\\.grpcsecurity|management\\.health\\.grpc-(certificates|policy|revocations|jwt-keys))\\..+");
			assertThat(property.has("description")).as("%s has a description", name).isTrue();
			assertThat(property.get("description").getAsString()).as(name)
				.endsWith(".")
				.doesNotStartWith("The ")
				.doesNotContain("{@");
		});
	}

	@Test
	void defaultsWhenAPropertyHasOneThenItStandsOnThePageWithItsReason() throws IOException {
		String page = Files.readString(Path.of("..", "docs", "defaults.md"));

		assertThat(properties()).allSatisfy((property) -> {
			JsonElement value = property.get("defaultValue");
			if (value != null && !(value.isJsonArray() && value.getAsJsonArray().isEmpty())) {
				String name = property.get("name").getAsString();
				String expected = value.isJsonArray() ? value.getAsJsonArray().get(0).getAsString()
						: value.getAsString();
				assertThat(page).containsPattern("\\| `" + Pattern.quote(name) + "` \\| (`|as )?`?"
						+ Pattern.quote(expected) + "`.* \\| .+ \\|");
			}
		});
	}

	@Test
	void importsWhenAutoConfigurationsExistThenAllAreListed() throws IOException {
		try (InputStream in = resource(
				"META-INF/spring/org.springframework.boot.autoconfigure.AutoConfiguration.imports")) {
			Stream<String> lines = new String(in.readAllBytes(), StandardCharsets.UTF_8).lines();
			assertThat(lines).doesNotHaveDuplicates()
				.isSorted()
				.allSatisfy((name) -> assertThat(Class.forName(name)).isPublic().isFinal());
		}
	}

	private static List<JsonObject> properties() throws IOException {
		try (InputStream in = resource("META-INF/spring-configuration-metadata.json")) {
			JsonObject metadata = JsonParser.parseString(new String(in.readAllBytes(), StandardCharsets.UTF_8))
				.getAsJsonObject();
			List<JsonObject> properties = new ArrayList<>();
			for (JsonElement property : metadata.getAsJsonArray("properties")) {
				properties.add(property.getAsJsonObject());
			}
			return properties;
		}
	}

	private static InputStream resource(String name) throws IOException {
		String location = GrpcSecurityAutoConfiguration.class.getProtectionDomain()
			.getCodeSource()
			.getLocation()
			.toString();
		return Objects.requireNonNull(URI.create(location + name).toURL().openStream());
	}

}
