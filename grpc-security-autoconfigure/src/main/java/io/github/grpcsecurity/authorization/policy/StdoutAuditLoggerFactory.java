package io.github.grpcsecurity.authorization.policy;

import java.io.PrintStream;
import java.time.format.DateTimeFormatter;
import java.util.Map;
import java.util.function.Supplier;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

/**
 * The logger that gRFC A59 asks for: one JSON object a line on standard output, as
 * grpc-go writes it.
 */
final class StdoutAuditLoggerFactory implements PolicyAuditLoggerFactory {

	private static final Log logger = LogFactory.getLog(StdoutAuditLoggerFactory.class);

	private final Supplier<PrintStream> out;

	StdoutAuditLoggerFactory(Supplier<PrintStream> out) {
		this.out = out;
	}

	@Override
	public String name() {
		return "stdout_logger";
	}

	@Override
	public PolicyAuditLogger create(Map<String, Object> config) {
		if (!config.isEmpty()) {
			logger.warn("The stdout_logger of a policy takes no settings; its \"config\" is ignored");
		}
		return (event) -> this.out.get().println(json(event));
	}

	static String json(PolicyAuditEvent event) {
		StringBuilder json = new StringBuilder(256).append("{\"grpc_audit_log\":{\"rpc_method\":");
		quote(event.rpcMethod(), json);
		quote(event.principal(), json.append(",\"principal\":"));
		quote(event.policyName(), json.append(",\"policy_name\":"));
		quote(event.matchedRule(), json.append(",\"matched_rule\":"));
		json.append(",\"authorized\":").append(event.authorized()).append(",\"timestamp\":");
		quote(DateTimeFormatter.ISO_INSTANT.format(event.timestamp()), json);
		return json.append("}}").toString();
	}

	/** In printable ASCII, so that no value can end the line or colour a terminal. */
	private static void quote(String value, StringBuilder json) {
		json.append('"');
		for (int i = 0; i < value.length(); i++) {
			char c = value.charAt(i);
			if (c == '"' || c == '\\') {
				json.append('\\').append(c);
			}
			else if (c < ' ' || c > '~') {
				json.append("\\u").append(Integer.toHexString(c | 0x10000), 1, 5);
			}
			else {
				json.append(c);
			}
		}
		json.append('"');
	}

}
