package io.github.grpcsecurity.audit;

import java.io.IOException;
import java.io.StringReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import io.github.grpcsecurity.audit.GrpcAuditRecord.Kind;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;

class GrpcAuditRecordTests {

	private static final Instant TIME = Instant.parse("2026-03-01T09:08:07.000000042Z");

	@Test
	void toJsonWhenSimpleThenOneFlatObject() {
		GrpcAuditRecord record = record().with("rpc.service", "bank.Accounts")
			.with("nothing", null)
			.with("duration.ns", 42L)
			.with("yes", true)
			.notes(Map.of("limit.rule", "per-user"))
			.build();

		assertThat(record.toJson()).isEqualTo("""
				{"event.id":"id1","event.kind":"decision","event.time":"2026-03-01T09:08:07.000000042Z",\
				"event.type":"authz_fail","rpc.service":"bank.Accounts","duration.ns":42,"yes":true,\
				"limit.rule":"per-user"}""");
		assertThat(record).hasToString(record.toJson());
	}

	@Test
	void toJsonWhenTextIsHostileThenPrintableAsciiOnly() {
		String hostile = "a\"b\\c\n\r\t\b\f\0\u001b[31m\u007f\u009b\u2028\u2029\u202e\ufeff\ud800é\ud83d\ude00\udc00";

		String json = record().with("rpc.method", hostile).build().toJson();

		assertThat(json).matches("[ -~]+");
		assertThat(parse(json)).containsEntry("rpc.method", hostile);
	}

	@Test
	void toJsonWhenAnythingThenParsesBackToTheFields() {
		Random random = new Random(7);
		for (int round = 0; round < 3000; round++) {
			GrpcAuditRecord.Builder builder = record();
			Map<String, String> notes = new LinkedHashMap<>();
			for (int field = 0; field < random.nextInt(12); field++) {
				builder.with("f" + field, randomText(random));
				notes.put(randomText(random), randomText(random));
			}
			GrpcAuditRecord record = builder.notes(notes).build();

			String json = record.toJson();

			assertThat(json).matches("[ -~]+").hasSizeLessThanOrEqualTo(GrpcAuditRecord.MAX_LENGTH);
			assertThat(parse(json)).isEqualTo(record.fields());
		}
	}

	@ParameterizedTest
	@CsvSource({ "x, 1024", "\u00e9, 170", "\ud83d\ude00, 170" })
	void fieldsWhenValueIsTooLongThenCutAndMarked(String unit, int kept) {
		GrpcAuditRecord record = record().with("rpc.method", unit.repeat(5000)).build();

		assertThat((String) record.fields().get("rpc.method")).hasSize(kept)
			.isEqualTo(unit.repeat(kept / unit.length()));
		assertThat(record.fields()).containsEntry("truncated", true);
	}

	@Test
	void fieldsWhenEventIsTooLongThenNotesGoAndTheRestStays() {
		Map<String, String> notes = new LinkedHashMap<>();
		for (int i = 0; i < 100; i++) {
			notes.put("note" + i, "\u001b".repeat(1000));
		}

		GrpcAuditRecord record = record().with("rpc.method", "\u001b".repeat(9999))
			.with("decision.outcome", "refuse")
			.notes(notes)
			.build();

		assertThat(record.toJson()).hasSizeBetween(30 * 1024, GrpcAuditRecord.MAX_LENGTH);
		assertThat(record.fields()).containsEntry("decision.outcome", "refuse")
			.containsEntry("truncated", true)
			.containsKey("note0")
			.doesNotContainKey("note99");
	}

	@Test
	void fieldsWhenNoteHasTheNameOfAFieldThenFieldStays() {
		GrpcAuditRecord record = record().with("auth.principal", "alice")
			.notes(Map.of("auth.principal", "mallory", "truncated", "no"))
			.build();

		assertThat(record.principal()).isEqualTo("alice");
		assertThat(record.fields()).containsEntry("note.auth.principal", "mallory")
			.containsEntry("note.truncated", "no");
		assertThat(parse(record.toJson())).isEqualTo(record.fields());
	}

	@Test
	void fieldsWhenNoteSaysWhatAFieldSaysThenOnce() {
		GrpcAuditRecord record = record().with("auth.kind", "jwt").notes(Map.of("auth.kind", "jwt")).build();

		assertThat(record.fields()).containsEntry("auth.kind", "jwt").hasSize(5);
	}

	@Test
	void fieldsWhenAddressThenIpAndPort() throws Exception {
		InetAddress v6 = InetAddress.getByName("2001:db8::1");

		assertThat(record().with("peer.address", new InetSocketAddress("127.0.0.1", 9090)).build().fields())
			.containsEntry("peer.address", "127.0.0.1:9090");
		assertThat(record().with("peer.address", new InetSocketAddress(v6, 1)).build().fields())
			.containsEntry("peer.address", "[2001:db8:0:0:0:0:0:1]:1");
	}

	@ParameterizedTest
	@CsvSource({ "2026-12-31T23:59:59Z, 2026-12-31T23:59:59.000000000Z",
			"1970-01-01T00:00:00.1Z, 1970-01-01T00:00:00.100000000Z",
			"2024-02-29T01:02:03.999999999Z, 2024-02-29T01:02:03.999999999Z" })
	void formatThenNineDigitsInUtc(Instant time, String expected) {
		assertThat(GrpcAuditRecord.format(time)).isEqualTo(expected);
	}

	@ParameterizedTest
	@CsvSource({ "192.0.2.7, 4711, 192.0.2.7:4711", "2001:db8::7, 4711, [2001:db8:0:0:0:0:0:7]:4711",
			"192.0.2.7, 0, 192.0.2.7", "2001:db8::7, 0, 2001:db8:0:0:0:0:0:7" })
	void fieldsWhenProxyDidNotTellThePortThenThereIsNone(String address, int port, String expected) throws IOException {
		GrpcAuditRecord record = record()
			.with("peer.address", new InetSocketAddress(InetAddress.getByName(address), port))
			.build();

		assertThat(record.fields()).containsEntry("peer.address", expected);
	}

	private static GrpcAuditRecord.Builder record() {
		return GrpcAuditRecord.builder(Kind.DECISION, "id1", TIME, "authz_fail");
	}

	/** Any UTF-16 unit, with a preference for the nasty ones. */
	private static String randomText(Random random) {
		String nasty = "\"\\\n\r\t\0\u001b\u007f\u0085\u009b\u2028\u2029\u202e\ud800\udbff\udc00\udfff/<>{}[]:,";
		StringBuilder text = new StringBuilder();
		int length = random.nextInt(10) == 0 ? random.nextInt(3000) : random.nextInt(30);
		for (int i = 0; i < length; i++) {
			switch (random.nextInt(3)) {
				case 0 -> text.append(nasty.charAt(random.nextInt(nasty.length())));
				case 1 -> text.append((char) random.nextInt(0x10000));
				default -> text.append((char) (' ' + random.nextInt(95)));
			}
		}
		return text.toString();
	}

	/** Reads strictly, and takes no name twice. */
	static Map<String, Object> parse(String json) {
		Map<String, Object> fields = new LinkedHashMap<>();
		try (JsonReader reader = new JsonReader(new StringReader(json))) {
			reader.setStrictness(Strictness.STRICT);
			reader.beginObject();
			while (reader.hasNext()) {
				String name = reader.nextName();
				Object value = switch (reader.peek()) {
					case STRING -> reader.nextString();
					case BOOLEAN -> reader.nextBoolean();
					default -> reader.nextLong();
				};
				assertThat(fields.put(name, value)).as(name).isNull();
			}
			reader.endObject();
			assertThat(reader.peek()).isEqualTo(JsonToken.END_DOCUMENT);
		}
		catch (IOException ex) {
			throw new AssertionError(json, ex);
		}
		return fields;
	}

}
