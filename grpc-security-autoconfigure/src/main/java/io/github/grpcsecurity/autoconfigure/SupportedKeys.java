package io.github.grpcsecurity.autoconfigure;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.core.ResolvableType;

/**
 * Stops the start for keys that nothing reads. A setting that is ignored is a guard that
 * its author believes in.
 */
final class SupportedKeys {

	private static final ResolvableType MAP = ResolvableType.forClassWithGenerics(Map.class, String.class,
			Object.class);

	private final Binder binder;

	SupportedKeys(Binder binder) {
		this.binder = binder;
	}

	/**
	 * Checks what stands directly below a prefix.
	 * @param prefix the prefix
	 * @param known the keys, without dashes
	 */
	void check(String prefix, Set<String> known) {
		this.binder.bind(prefix, Bindable.<Map<String, Object>>of(MAP))
			.ifBound((found) -> check(found, known, prefix, ""));
	}

	/**
	 * Checks the elements of a list.
	 * @param prefix the name of the list
	 * @param known the keys of an element, without dashes
	 */
	void checkElements(String prefix, Set<String> known) {
		this.binder
			.bind(prefix, Bindable.<List<Map<String, Object>>>of(ResolvableType.forClassWithGenerics(List.class, MAP)))
			.ifBound((elements) -> {
				for (int i = 0; i < elements.size(); i++) {
					check(elements.get(i), known, prefix + "[" + i + "]", "");
				}
			});
	}

	// Environment variables have no dashes: health-access arrives as {health: {access:
	// …}}
	private static void check(Map<?, ?> found, Set<String> known, String prefix, String parent) {
		found.forEach((key, value) -> {
			String name = parent + key.toString().replaceAll("[-_]", "").toLowerCase(Locale.ROOT);
			if (known.contains(name) || known.contains(name.replaceAll("[.\\[].*", ""))) {
				return;
			}
			if (value instanceof Map<?, ?> nested && known.stream().anyMatch((one) -> one.startsWith(name))) {
				check(nested, known, prefix, name);
				return;
			}
			throw new UnsupportedSettingException(prefix + "." + parent + key);
		});
	}

}
