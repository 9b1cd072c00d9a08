package io.github.grpcsecurity.authorization.policy;

import java.util.Map;

/**
 * One logger that a policy names.
 *
 * @param pointer where it stands
 * @param name name of the kind of logger
 * @param config its own settings
 * @param optional whether the policy may be used without it
 */
record AuditLoggerSetting(String pointer, String name, Map<String, Object> config, boolean optional) {

}
