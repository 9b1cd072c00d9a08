package io.github.grpcsecurity.authorization.policy;

import java.util.Map;

/**
 * Makes audit loggers of one kind, which policies name in {@code audit_loggers}. A bean
 * of this type adds a kind to the built-in {@code stdout_logger}, or replaces it.
 *
 * @since 0.1.0
 */
public interface PolicyAuditLoggerFactory {

	/**
	 * Name of the kind of logger.
	 * @return what a policy has as {@code name}; the same at every call
	 */
	String name();

	/**
	 * Makes a logger, each time a policy that names it comes into force.
	 * @param config what the policy has as {@code config}: maps, lists, strings, numbers
	 * and booleans; empty if it has none
	 * @return a new logger
	 * @throws RuntimeException if the logger cannot work with these settings. The policy
	 * is then refused, unless it says that the logger is optional.
	 */
	PolicyAuditLogger create(Map<String, Object> config);

}
