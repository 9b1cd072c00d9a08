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

	/** Bytes of messages that loops may read, counted each time. */
	static final int MAX_READ = 10_000_000;

	/** Bytes of a message in which one text is looked for in another. */
	static final int MAX_SEARCHED = 64 * 1024;

	private final Bounds bounds;

	private long read;

	private int conversions;

	private @Nullable Object counted;

	private int elements;

	/**
	 * Creates a limit for one evaluation.
	 * @param bounds what the condition uses
	 */
	WorkLimit(Bounds bounds) {
		this.bounds = bounds;
	}

	/** Counts that a variable is read. */
	void read(Object value) {
		if (value instanceof Message message && (this.bounds.rereads() || this.bounds.searches())) {
			read(message);
		}
		if (!this.bounds.lists || !(value instanceof Message || value instanceof Collection || value instanceof Map)) {
			return;
		}
		if (this.counted != value) {
			this.counted = value;
			this.elements = elements(value, 0);
		}
		if (this.elements > MAX_ELEMENTS) {
			throw new Exceeded("More than " + MAX_ELEMENTS + " elements");
		}
		if (this.bounds.listsInLoops) {
			this.conversions += this.elements;
			if (this.conversions > MAX_CONVERSIONS) {
				throw new Exceeded("Lists are too long for a loop in a loop");
			}
		}
	}

	private void read(Message message) {
		int size = message.getSerializedSize();
		if (this.bounds.searches && size > MAX_SEARCHED) {
			throw new Exceeded("The message is too long to look for one text in another");
		}
		this.read += size;
		// The first time is not again
		if (this.bounds.rereads() && this.read > size && this.read > MAX_READ) {
			throw new Exceeded("The message is too long for a loop");
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
	 * What a condition uses of the values whose length callers decide.
	 *
	 * @param lists whether it uses lists or maps at all
	 * @param listsInLoops whether it names one in a loop
	 * @param textsInLoops whether it names a text in a loop
	 * @param searches whether it looks for one text of the message in another
	 */
	record Bounds(boolean lists, boolean listsInLoops, boolean textsInLoops, boolean searches) {

		boolean rereads() {
			return this.listsInLoops || this.textsInLoops;
		}

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
