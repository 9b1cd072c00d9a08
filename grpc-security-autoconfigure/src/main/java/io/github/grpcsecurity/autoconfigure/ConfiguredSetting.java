package io.github.grpcsecurity.autoconfigure;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;

/**
 * Blames the property that a value comes from, when what it is for does not take it.
 */
final class ConfiguredSetting {

	private ConfiguredSetting() {
	}

	/**
	 * Applies the value of a property.
	 * @param property name of the property
	 * @param value its value, which is shown if it is not taken
	 * @param setting applies it, and throws {@code IllegalArgumentException} if that is
	 * not possible
	 */
	static void apply(String property, Object value, Runnable setting) {
		try {
			setting.run();
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException(property, value,
					"Not possible: " + ex.getMessage() + ".");
		}
	}

}
