package io.github.grpcsecurity.authorization.policy;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.TokenStreamLocation;
import tools.jackson.core.json.JsonFactory;

/**
 * Reads the JSON of a policy, and refuses whatever could mean something else to its
 * author than to us.
 */
final class PolicyReader {

	private static final JsonFactory JSON = new JsonFactory();

	private static final Set<String> UNSUPPORTED_HEADERS = Set.of("host", "connection", "keep-alive",
			"proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade");

	private final byte[] content;

	private final List<String> warnings = new ArrayList<>();

	private String policyName = "";

	PolicyReader(byte[] content) {
		this.content = content;
	}

	AuthorizationPolicy read() {
		if (this.content.length > AuthorizationPolicy.MAX_SIZE) {
			throw new InvalidPolicyException("", "It is larger than 1 MiB.",
					"Merge rules, or describe paths and principals by their prefix.");
		}
		Map<String, Object> policy = object("", parse());
		known("", policy, "name", "deny_rules", "allow_rules", "audit_logging_options");
		this.policyName = name("", policy, "Give the policy a \"name\": audit events carry it.");
		List<PolicyRule> denyRules = rules("/deny_rules", policy.get("deny_rules"), false);
		List<PolicyRule> allowRules = rules("/allow_rules", policy.get("allow_rules"), true);
		if (allowRules.isEmpty()) {
			throw new InvalidPolicyException("/allow_rules", "There are no allow rules.",
					"Add at least one: whatever no allow rule matches is denied.");
		}
		Map<String, Object> audit = optionalObject("/audit_logging_options", policy.get("audit_logging_options"));
		known("/audit_logging_options", audit, "audit_condition", "audit_loggers", "audit_logger");
		return new AuthorizationPolicy(this.policyName, AuthorizationPolicy.hash(this.content), denyRules, allowRules,
				condition(audit.get("audit_condition")), loggers(audit), this.warnings);
	}

	private List<PolicyRule> rules(String pointer, @Nullable Object value, boolean allow) {
		List<PolicyRule> rules = new ArrayList<>();
		Set<String> names = new HashSet<>();
		List<Object> elements = array(pointer, value);
		for (int i = 0; i < elements.size(); i++) {
			String at = pointer + "/" + i;
			Map<String, Object> rule = object(at, elements.get(i));
			known(at, rule, "name", "source", "request");
			String name = name(at, rule, "Give the rule a \"name\": audit events carry it.");
			if (!names.add(name)) {
				throw new InvalidPolicyException(at + "/name",
						"Another rule of this list is called '" + name + "' too.",
						"Give each rule a name of its own: other implementations keep only one of the two.");
			}
			Map<String, Object> source = optionalObject(at + "/source", rule.get("source"));
			known(at + "/source", source, "principals");
			Map<String, Object> request = optionalObject(at + "/request", rule.get("request"));
			known(at + "/request", request, "paths", "headers");
			rules.add(new PolicyRule(new PolicyDecision(allow, this.policyName, this.policyName + "_" + name),
					principals(at + "/source/principals", source.get("principals")),
					paths(at + "/request/paths", request.get("paths")),
					headers(at + "/request/headers", request.get("headers"))));
		}
		return rules;
	}

	private List<StringMatcher> principals(String pointer, @Nullable Object value) {
		List<Object> elements = array(pointer, value);
		if (value != null && elements.isEmpty()) {
			throw new InvalidPolicyException(pointer,
					"It is empty, which some implementations take for everybody and others for every known peer.",
					"List principals (\"*\" is any certificate, \"\" is TLS without one), or leave \"principals\" out"
							+ " for everybody.");
		}
		List<StringMatcher> matchers = new ArrayList<>();
		for (int i = 0; i < elements.size(); i++) {
			String pattern = string(pointer + "/" + i, elements.get(i));
			// The empty one is the peer without a certificate
			matchers.add(pattern.isEmpty() ? StringMatcher.of(pattern) : matcher(pointer + "/" + i, pattern));
		}
		return matchers;
	}

	private List<StringMatcher> paths(String pointer, @Nullable Object value) {
		List<StringMatcher> matchers = new ArrayList<>();
		List<Object> elements = array(pointer, value);
		for (int i = 0; i < elements.size(); i++) {
			String pattern = string(pointer + "/" + i, elements.get(i));
			matchers.add(matcher(pointer + "/" + i, pattern));
			if (!pattern.startsWith("/") && !pattern.startsWith("*")) {
				this.warnings.add(pointer + "/" + i + ": '" + pattern
						+ "' matches no method, because paths begin with a slash, as in /pkg.Service/Method");
			}
		}
		return matchers;
	}

	private List<HeaderMatcher> headers(String pointer, @Nullable Object value) {
		List<HeaderMatcher> matchers = new ArrayList<>();
		List<Object> elements = array(pointer, value);
		for (int i = 0; i < elements.size(); i++) {
			String at = pointer + "/" + i;
			Map<String, Object> header = object(at, elements.get(i));
			known(at, header, "key", "values");
			matchers.add(header(at, header));
		}
		return matchers;
	}

	private static HeaderMatcher header(String pointer, Map<String, Object> header) {
		String key = string(pointer + "/key", required(pointer, header, "key")).toLowerCase(Locale.ROOT);
		if (key.startsWith(":") || key.startsWith("grpc-") || UNSUPPORTED_HEADERS.contains(key)) {
			throw new InvalidPolicyException(pointer + "/key", "The header '" + key + "' cannot be matched.",
					"Use a header of the application. Methods are matched with \"paths\".");
		}
		List<Object> values = array(pointer + "/values", required(pointer, header, "values"));
		if (values.isEmpty()) {
			throw new InvalidPolicyException(pointer + "/values", "It is empty, so the rule never matches.",
					"List the values that match; \"*\" is any but an empty one.");
		}
		List<StringMatcher> matchers = new ArrayList<>();
		for (int i = 0; i < values.size(); i++) {
			String at = pointer + "/values/" + i;
			matchers.add(matcher(at, string(at, values.get(i))));
		}
		try {
			return HeaderMatcher.of(key, matchers);
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidPolicyException(pointer + "/key", "'" + key + "' is no name of a header.",
					"Names of headers are made of letters, digits and the characters - _ and dot.", ex);
		}
	}

	private static StringMatcher matcher(String pointer, String pattern) {
		if (pattern.isEmpty()) {
			throw new InvalidPolicyException(pointer, "It is empty.",
					"Write what is to match, or remove it; \"*\" is anything but an empty text.");
		}
		if (pattern.length() > 1 && pattern.startsWith("*") && pattern.endsWith("*")) {
			throw new InvalidPolicyException(pointer,
					"'" + pattern + "' has a star at both ends, which some implementations take for a prefix and"
							+ " others for a suffix.",
					"Keep the star at the end for a prefix, or at the beginning for a suffix; \"*\" alone is anything"
							+ " but an empty text.");
		}
		return StringMatcher.of(pattern);
	}

	private static AuditCondition condition(@Nullable Object value) {
		if (value == null) {
			return AuditCondition.NONE;
		}
		String pointer = "/audit_logging_options/audit_condition";
		String name = string(pointer, value);
		for (AuditCondition condition : AuditCondition.values()) {
			if (condition.name().equals(name)) {
				return condition;
			}
		}
		throw new InvalidPolicyException(pointer, "'" + name + "' is no condition.",
				"Use NONE, ON_DENY, ON_ALLOW or ON_DENY_AND_ALLOW.");
	}

	private List<AuditLoggerSetting> loggers(Map<String, Object> audit) {
		String key = "audit_loggers";
		if (audit.containsKey("audit_logger")) {
			if (audit.containsKey(key)) {
				throw new InvalidPolicyException("/audit_logging_options/audit_logger",
						"There is audit_loggers as well, and only one of the two would count.",
						"Put all loggers into audit_loggers.");
			}
			key = "audit_logger";
			this.warnings.add("/audit_logging_options/audit_logger: other implementations know only audit_loggers");
		}
		String pointer = "/audit_logging_options/" + key;
		List<AuditLoggerSetting> loggers = new ArrayList<>();
		List<Object> elements = array(pointer, audit.get(key));
		for (int i = 0; i < elements.size(); i++) {
			String at = pointer + "/" + i;
			Map<String, Object> logger = object(at, elements.get(i));
			known(at, logger, "name", "config", "is_optional");
			Object optional = logger.getOrDefault("is_optional", false);
			if (!(optional instanceof Boolean isOptional)) {
				throw wrongType(at + "/is_optional", "true or false");
			}
			loggers.add(new AuditLoggerSetting(at, name(at, logger, "Name a kind of logger, such as stdout_logger."),
					optionalObject(at + "/config", logger.get("config")), isOptional));
		}
		return loggers;
	}

	private static String name(String pointer, Map<String, Object> object, String wayOut) {
		Object value = object.get("name");
		String name = (value != null) ? string(pointer + "/name", value) : "";
		if (name.isEmpty()) {
			throw new InvalidPolicyException(pointer + "/name", "There is no name.", wayOut);
		}
		return name;
	}

	private static Object required(String pointer, Map<String, Object> object, String key) {
		Object value = object.get(key);
		if (value == null || value.equals("")) {
			throw new InvalidPolicyException(pointer + "/" + key, "There is no \"" + key + "\".",
					"A header has a \"key\" and \"values\".");
		}
		return value;
	}

	private static void known(String pointer, Map<String, Object> object, String... keys) {
		for (String key : object.keySet()) {
			if (!Arrays.asList(keys).contains(key)) {
				throw new InvalidPolicyException(pointer + "/" + escape(key),
						"This field is not known, and to ignore it might allow what it is meant to deny.",
						"Remove it. What can stand here: " + String.join(", ", keys) + ".");
			}
		}
	}

	private static String string(String pointer, Object value) {
		if (value instanceof String text) {
			return text;
		}
		throw wrongType(pointer, "a string");
	}

	@SuppressWarnings("unchecked")
	private static List<Object> array(String pointer, @Nullable Object value) {
		if (value == null) {
			return List.of();
		}
		if (value instanceof List<?> elements) {
			return (List<Object>) elements;
		}
		throw wrongType(pointer, "an array");
	}

	private static Map<String, Object> optionalObject(String pointer, @Nullable Object value) {
		return (value != null) ? object(pointer, value) : Map.of();
	}

	@SuppressWarnings("unchecked")
	private static Map<String, Object> object(String pointer, Object value) {
		if (value instanceof Map<?, ?> map) {
			return (Map<String, Object>) map;
		}
		throw wrongType(pointer, "an object");
	}

	private static InvalidPolicyException wrongType(String pointer, String expected) {
		return new InvalidPolicyException(pointer, "It has the wrong type.", "Write " + expected + ".");
	}

	/** RFC 6901 3. */
	private static String escape(String key) {
		return key.replace("~", "~0").replace("/", "~1");
	}

	private Object parse() {
		String json;
		try {
			json = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(this.content)).toString();
		}
		catch (CharacterCodingException ex) {
			throw new InvalidPolicyException("", "It is not in UTF-8.", "Save it in UTF-8.", ex);
		}
		try (JsonParser parser = JSON.createParser(ObjectReadContext.empty(), json)) {
			try {
				if (parser.nextToken() == null) {
					throw new InvalidPolicyException("", "It is empty.", "Write a JSON object.");
				}
				Object policy = value(parser);
				if (parser.nextToken() != null) {
					throw new InvalidPolicyException("", "Something follows after its end.",
							"Remove what stands behind the last brace.");
				}
				return policy;
			}
			catch (JacksonException ex) {
				TokenStreamLocation location = parser.currentLocation();
				throw new InvalidPolicyException(parser.streamReadContext().pathAsPointer().toString(),
						"This is no JSON (line " + location.getLineNr() + ", column " + location.getColumnNr() + "): "
								+ ex.getOriginalMessage() + ".",
						"Correct it.", ex);
			}
		}
	}

	private static Object value(JsonParser parser) {
		JsonToken token = parser.currentToken();
		return switch (token) {
			case START_OBJECT -> objectValue(parser);
			case START_ARRAY -> {
				List<Object> elements = new ArrayList<>();
				while (parser.nextToken() != JsonToken.END_ARRAY) {
					elements.add(value(parser));
				}
				yield elements;
			}
			case VALUE_STRING -> parser.getString();
			case VALUE_TRUE -> true;
			case VALUE_FALSE -> false;
			case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> parser.getNumberValue();
			default -> throw new InvalidPolicyException(parser.streamReadContext().pathAsPointer().toString(),
					"There is no value.", "Give it one, or leave it out.");
		};
	}

	private static Map<String, Object> objectValue(JsonParser parser) {
		Map<String, Object> object = new LinkedHashMap<>();
		while (parser.nextToken() != JsonToken.END_OBJECT) {
			String key = parser.currentName();
			if (object.containsKey(key)) {
				throw new InvalidPolicyException(parser.streamReadContext().pathAsPointer().toString(),
						"This field is there twice, and only one of the two would count.", "Keep one of them.");
			}
			parser.nextToken();
			object.put(key, value(parser));
		}
		return object;
	}

}
