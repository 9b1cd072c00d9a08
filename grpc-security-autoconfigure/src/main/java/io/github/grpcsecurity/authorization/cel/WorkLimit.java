package io.github.grpcsecurity.authorization.cel;

import java.util.Collection;
import java.util.Map;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import org.jspecify.annotations.Nullable;

/**
 * Bounds what one evaluation costs where callers decide how long a list is.
 * <p>
 * CEL bounds the iterations of loops but not what one of them costs: each time a list is
 * named, all its elements are converted, and a loop names it again and again.
 */
final class WorkLimit {

	/** Elements of all lists and maps that a condition with lists may be shown. */
	static final int MAX_ELEMENTS = 10_000;

	/** Elements that may be converted on behalf of loops. */
	static final int MAX_CONVERSIONS = 10_000;

	private final boolean lists;

	private final boolean listsInLoops;

	private int conversions;

	private @Nullable Object counted;

	private int elements;

	/**
	 * Creates a limit for one evaluation.
	 * @param lists whether the condition uses lists at all
	 * @param listsInLoops whether it names a list in a loop
	 */
	WorkLimit(boolean lists, boolean listsInLoops) {
		this.lists = lists;
		this.listsInLoops = listsInLoops;
	}

	/** Counts that a variable is read. */
	void read(Object value) {
		if (!this.lists || !(value instanceof Message || value instanceof Collection || value instanceof Map)) {
			return;
		}
		if (this.counted != value) {
			this.counted = value;
			this.elements = elements(value, 0);
		}
		if (this.elements > MAX_ELEMENTS) {
			throw new Exceeded("More than " + MAX_ELEMENTS + " elements");
		}
		if (this.listsInLoops) {
			this.conversions += this.elements;
			if (this.conversions > MAX_CONVERSIONS) {
				throw new Exceeded("Lists are too long for a loop in a loop");
			}
		}
	}

	private static int elements(Object value, int before) {
		int count = before;
		if (value instanceof Message message) {
			for (Map.Entry<FieldDescriptor, Object> field : message.getAllFields().entrySet()) {
				if (field.getKey().isRepeated() || field.getValue() instanceof Message) {
					count = elements(field.getValue(), count);
				}
			}
		}
		else if (value instanceof Map<?, ?> map) {
			count = elements(map.values(), count);
		}
		else if (value instanceof Collection<?> elements) {
			count += elements.size();
			if (count <= MAX_ELEMENTS) {
				for (Object element : elements) {
					count = elements(element, count);
					if (count > MAX_ELEMENTS) {
						return count;
					}
				}
			}
		}
		return count;
	}

	/**
	 * Ends the evaluation at once. An exception would not: to CEL it is the value of a
	 * part, which {@code ||} may outweigh and loops carry along.
	 */
	static final class Exceeded extends Error {

		private static final long serialVersionUID = 1L;

		Exceeded(String message) {
			super(message, null, false, false);
		}

	}

}
