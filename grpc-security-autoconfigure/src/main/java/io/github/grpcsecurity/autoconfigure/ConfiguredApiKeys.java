package io.github.grpcsecurity.autoconfigure;

import java.io.IOException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.regex.Pattern;

import io.github.grpcsecurity.authentication.apikey.ApiKey;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.bind.BindException;
import org.springframework.boot.context.properties.bind.BindResult;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.ConfigurationPropertySource;
import org.springframework.boot.context.properties.source.ConfigurationPropertySources;
import org.springframework.boot.env.YamlPropertySourceLoader;
import org.springframework.core.ResolvableType;
import org.springframework.core.env.PropertySource;
import org.springframework.core.io.ByteArrayResource;

/**
 * Turns the API keys in settings, and in files of the same form, into those that are
 * verified. Whatever is wrong is said without showing a value.
 */
final class ConfiguredApiKeys {

	static final String PREFIX = "grpc.security.authentication.api-key";

	private static final Log logger = LogFactory.getLog(ConfiguredApiKeys.class);

	private static final Set<String> NAMES = Set.of("header", "keys", "location", "reloadinterval", "lookuptimeout",
			"redis");

	private static final Set<String> REDIS_NAMES = Set.of("enabled", "keyprefix");

	private static final Set<String> KEY_NAMES = Set.of("id", "hash", "principal", "authorities", "expiresat",
			"enabled", "allowedmethods", "allowedaddresses");

	private static final String NO_HASH = "sha256:" + "0".repeat(64);

	private static final Pattern SAFE_NAME = Pattern.compile("[A-Za-z0-9_-]{1,40}");

	private static final Bindable<Map<String, Object>> MAP = Bindable
		.of(ResolvableType.forClassWithGenerics(Map.class, String.class, Object.class));

	private static final Bindable<List<Map<String, Object>>> MAPS = Bindable
		.of(ResolvableType.forClassWithGenerics(List.class, MAP.getType()));

	private ConfiguredApiKeys() {
	}

	/** Refuses settings that nothing reads: one of them may be a guard, or a secret. */
	static void checkNames(Binder binder) {
		binder.bind(PREFIX, MAP).ifBound((found) -> checkNames(found, NAMES, PREFIX));
		binder.bind(PREFIX + ".redis", MAP).ifBound((found) -> checkNames(found, REDIS_NAMES, PREFIX + ".redis"));
		checkElements(binder, PREFIX + ".keys");
	}

	private static void checkElements(Binder binder, String name) {
		binder.bind(name, MAPS).ifBound((elements) -> {
			for (int i = 0; i < elements.size(); i++) {
				checkNames(elements.get(i), KEY_NAMES, name + "[" + i + "]");
			}
		});
	}

	// Environment variables have no dashes: allowed-methods may arrive as {allowed:
	// {methods: …}}
	private static void checkNames(Map<String, Object> found, Set<String> known, String prefix) {
		found.forEach((key, value) -> {
			String name = key.replaceAll("[-_]", "").replaceAll("[.\\[].*", "").toLowerCase(Locale.ROOT);
			if (!known.contains(name) && !(value instanceof Map<?, ?> nested && nested.keySet()
				.stream()
				.allMatch((rest) -> known.contains(name + rest.toString().toLowerCase(Locale.ROOT))))) {
				// A name may be the start of a secret, too
				throw new InvalidApiKeyException(prefix,
						"it has a setting " + (SAFE_NAME.matcher(key).matches() ? "'" + key + "' " : "")
								+ "that is not supported; settings are " + known.stream().sorted().toList());
			}
		});
	}

	/**
	 * Turns settings into keys.
	 * @param keys the settings
	 * @param name what they are called
	 * @param now when keys that have run out are told from others
	 */
	static List<ApiKey> convert(List<GrpcApiKeyProperties.Key> keys, String name, Instant now) {
		List<ApiKey> converted = new ArrayList<>();
		Set<String> ids = new HashSet<>();
		for (int i = 0; i < keys.size(); i++) {
			String property = name + "[" + i + "]";
			ApiKey key = convert(keys.get(i), property);
			if (!ids.add(key.id())) {
				throw new InvalidApiKeyException(property + ".id", "there is another key with the id '" + key.id()
						+ "'; give each its own, and both the same principal if they belong to one client");
			}
			Instant expiresAt = key.expiresAt();
			if (expiresAt != null && !now.isBefore(expiresAt)) {
				logger.warn("The API key '" + key.id() + "' has run out on " + expiresAt
						+ ": calls with it are refused. Remove it from " + name);
			}
			converted.add(key);
		}
		return converted;
	}

	private static ApiKey convert(GrpcApiKeyProperties.Key key, String property) {
		String id = required(key.id(), property + ".id", "it is missing");
		String hash = required(key.hash(), property + ".hash", "it is missing");
		build(property + ".id", () -> ApiKey.builder(id, NO_HASH));
		ApiKey.Builder builder = build(property + ".hash", () -> ApiKey.builder(id, hash)).expiresAt(key.expiresAt())
			.enabled(key.enabled());
		String principal = key.principal();
		if (principal != null) {
			build(property + ".principal", () -> builder.principal(principal));
		}
		build(property + ".authorities", () -> builder.authorities(key.authorities()));
		build(property + ".allowed-methods", () -> builder.allowedMethods(key.allowedMethods()));
		build(property + ".allowed-addresses", () -> builder.allowedAddresses(key.allowedAddresses()));
		return builder.build();
	}

	private static String required(@Nullable String value, String property, String reason) {
		if (value == null || value.isEmpty()) {
			throw new InvalidApiKeyException(property, reason);
		}
		return value;
	}

	private static ApiKey.Builder build(String property, Supplier<ApiKey.Builder> step) {
		try {
			return step.get();
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidApiKeyException(property, String.valueOf(ex.getMessage()));
		}
	}

	/**
	 * Reads a file.
	 * @param content YAML with a list 'keys'
	 * @throws IllegalArgumentException if anything about it is bad
	 */
	static List<ApiKey> parse(byte[] content, Instant now) {
		List<ConfigurationPropertySource> sources = new ArrayList<>();
		try {
			for (PropertySource<?> source : new YamlPropertySourceLoader().load("API keys",
					new ByteArrayResource(content))) {
				ConfigurationPropertySources.from(source).forEach(sources::add);
			}
		}
		catch (IOException | RuntimeException ex) {
			// No cause: its message quotes the file
			throw new IllegalArgumentException("it is no YAML");
		}
		Binder binder = new Binder(sources);
		try {
			BindResult<Map<String, Object>> all = binder.bind("", MAP);
			if (!all.isBound() || all.get().isEmpty()) {
				throw new IllegalArgumentException("it has no list 'keys'; to withdraw all of them, write 'keys: []'");
			}
			checkNames(all.get(), Set.of("keys"), "the file");
			checkElements(binder, "keys");
			BindResult<List<GrpcApiKeyProperties.Key>> keys = binder.bind("keys",
					Bindable.listOf(GrpcApiKeyProperties.Key.class));
			return keys.isBound() ? convert(keys.get(), "keys", now) : List.of();
		}
		catch (BindException ex) {
			throw new IllegalArgumentException("'" + ex.getName() + "' cannot be read");
		}
	}

}
