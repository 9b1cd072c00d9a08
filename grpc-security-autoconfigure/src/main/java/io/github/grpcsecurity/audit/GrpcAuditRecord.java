package io.github.grpcsecurity.audit;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.time.Instant;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

import org.jspecify.annotations.Nullable;

/**
 * One thing that happened to a call: the decision about it, or its end.
 * <p>
 * Immutable and thread-safe. It holds no credentials and nothing out of a message. A
 * value takes 1 KiB at most and a record 32 KiB; where something had to go, it says
 * {@code truncated}.
 *
 * @since 0.1.0
 */
public final class GrpcAuditRecord {

	static final int MAX_VALUE_LENGTH = 1024;

	static final int MAX_LENGTH = 32 * 1024;

	static final String PRINCIPAL = "auth.principal";

	private static final String TRUNCATED = "truncated";

	// The braces, "truncated":true and the comma before it
	private static final int RESERVED = 20;

	private final Kind kind;

	private final String id;

	private final Instant time;

	private final String type;

	private final boolean denied;

	/** Names and values in turn, as they came. */
	private final @Nullable Object[] source;

	private final Map<String, String> notes;

	// Both are computed when a sink asks, off the threads that carry calls. A race only
	// computes them twice
	private @Nullable Map<String, Object> fields;

	private @Nullable String json;

	private GrpcAuditRecord(Builder builder) {
		this.kind = builder.kind;
		this.id = builder.id;
		this.time = builder.time;
		this.type = builder.type;
		this.denied = builder.denied;
		this.source = Arrays.copyOf(builder.source, builder.length);
		this.notes = builder.notes;
	}

	static Builder builder(Kind kind, String id, Instant time, String type) {
		return new Builder(kind, id, time, type);
	}

	/**
	 * What the record is about.
	 * @return the kind
	 */
	public Kind kind() {
		return this.kind;
	}

	/**
	 * Ties together the records of one call.
	 * @return the id of the call
	 */
	public String id() {
		return this.id;
	}

	/**
	 * When it happened.
	 * @return the instant
	 */
	public Instant time() {
		return this.time;
	}

	/**
	 * What happened, in the words of OWASP's logging vocabulary where it has one, such as
	 * {@code authz_fail}; otherwise a word that starts with {@code grpc_}.
	 * @return the type of the event
	 */
	public String type() {
		return this.type;
	}

	/**
	 * Who called.
	 * @return the name of the principal, {@code anonymous} among them; {@code null} when
	 * it has none that may be shown
	 */
	public @Nullable String principal() {
		return (String) fields().get(PRINCIPAL);
	}

	/**
	 * Whether the record tells that something was refused. When records have to be
	 * dropped, these are the last.
	 * @return whether something was refused
	 */
	public boolean denied() {
		return this.denied;
	}

	/**
	 * Everything in this record under the same names as in {@link #toJson()}. Texts may
	 * hold whatever a client sent: escape them before they go anywhere.
	 * @return an unmodifiable map to texts, numbers and truth values
	 */
	public Map<String, Object> fields() {
		Map<String, Object> result = this.fields;
		if (result == null) {
			result = Collections.unmodifiableMap(collectFields());
			this.fields = result;
		}
		return result;
	}

	private Map<String, Object> collectFields() {
		Limiter limiter = new Limiter();
		limiter.add("event.id", this.id);
		limiter.add("event.kind", this.kind.name().toLowerCase(Locale.ROOT));
		limiter.add("event.time", format(this.time));
		limiter.add("event.type", this.type);
		for (int i = 0; i < this.source.length; i += 2) {
			Object name = this.source[i];
			Object value = this.source[i + 1];
			if (name != null && value != null) {
				limiter.add(name.toString(), value);
			}
		}
		this.notes.forEach(limiter::addNote);
		return limiter.fields();
	}

	/**
	 * This record as one line of JSON, without the line break: one flat object in
	 * printable ASCII.
	 * @return the line
	 */
	public String toJson() {
		String result = this.json;
		if (result == null) {
			StringBuilder out = new StringBuilder(768).append('{');
			fields().forEach((name, value) -> {
				if (out.length() > 1) {
					out.append(',');
				}
				JsonText.quote(name, out);
				out.append(':');
				if (value instanceof String text) {
					JsonText.quote(text, out);
				}
				else {
					out.append(value);
				}
			});
			result = out.append('}').toString();
			this.json = result;
		}
		return result;
	}

	/** RFC 3339 in UTC, always with nine digits. */
	static String format(Instant time) {
		LocalDateTime utc = LocalDateTime.ofEpochSecond(time.getEpochSecond(), time.getNano(), ZoneOffset.UTC);
		StringBuilder out = new StringBuilder(30).append(utc.toLocalDate()).append('T');
		digits(utc.getHour(), 2, out).append(':');
		digits(utc.getMinute(), 2, out).append(':');
		digits(utc.getSecond(), 2, out).append('.');
		return digits(utc.getNano(), 9, out).append('Z').toString();
	}

	private static StringBuilder digits(int number, int width, StringBuilder out) {
		String digits = Integer.toString(number);
		return out.append("000000000", 0, width - digits.length()).append(digits);
	}

	@Override
	public String toString() {
		return toJson();
	}

	/** What a record is about. */
	public enum Kind {

		/** A call was admitted, refused, or went away undecided. */
		DECISION,

		/** A call is over. */
		COMPLETION,

		/** Records are missing from here on back: there were more than could be kept. */
		DROPPED

	}

	/** Brings values into their final form, as long as there is room. */
	private static final class Limiter {

		private final Map<String, Object> fields = new LinkedHashMap<>(48);

		private int length = RESERVED;

		private boolean truncated;

		/** A note never takes the place of a field. */
		void addNote(String name, String value) {
			Object field = this.fields.get(limited(name));
			if (!value.equals(field)) {
				add((field != null || name.equals(TRUNCATED)) ? "note." + name : name, value);
			}
		}

		void add(String name, Object value) {
			Object finalValue = (value instanceof Number || value instanceof Boolean) ? value : limited(text(value));
			String finalName = limited(name);
			// Two pairs of quotes, a colon and a comma
			int added = JsonText.length(finalName) + JsonText.length(finalValue.toString()) + 6;
			if (this.length + added > MAX_LENGTH || this.fields.containsKey(finalName)) {
				this.truncated = true;
				return;
			}
			this.length += added;
			this.fields.put(finalName, finalValue);
		}

		private String limited(String value) {
			String result = JsonText.limit(value, MAX_VALUE_LENGTH);
			this.truncated |= result.length() != value.length();
			return result;
		}

		private static String text(Object value) {
			if (value instanceof InetSocketAddress address && address.getAddress() != null) {
				String host = address.getAddress().getHostAddress();
				if (address.getPort() == 0) {
					// A proxy told where the client is, but not its port
					return host;
				}
				return ((host.indexOf(':') >= 0) ? "[" + host + "]" : host) + ":" + address.getPort();
			}
			if (value instanceof SocketAddress address) {
				return address.toString();
			}
			return (value instanceof Enum<?> constant) ? constant.name().toLowerCase(Locale.ROOT) : value.toString();
		}

		Map<String, Object> fields() {
			if (this.truncated) {
				this.fields.put(TRUNCATED, true);
			}
			return this.fields;
		}

	}

	/** Collects what is known, on the thread of the call: it only keeps references. */
	static final class Builder {

		private final Kind kind;

		private final String id;

		private final Instant time;

		private final String type;

		private @Nullable Object[] source = new @Nullable Object[48];

		private int length;

		private boolean denied;

		private Map<String, String> notes = Map.of();

		private Builder(Kind kind, String id, Instant time, String type) {
			this.kind = kind;
			this.id = id;
			this.time = time;
			this.type = type;
		}

		/** Adds a value that does not change any more, unless it is {@code null}. */
		Builder with(String name, @Nullable Object value) {
			if (value != null) {
				if (this.length == this.source.length) {
					this.source = Arrays.copyOf(this.source, this.length * 2);
				}
				this.source[this.length++] = name;
				this.source[this.length++] = value;
			}
			return this;
		}

		Builder denied(boolean denied) {
			this.denied = denied;
			return this;
		}

		/** Adds what comes last: when there is no room left, these have to go. */
		Builder notes(Map<String, String> notes) {
			this.notes = notes;
			return this;
		}

		GrpcAuditRecord build() {
			return new GrpcAuditRecord(this);
		}

	}

}
