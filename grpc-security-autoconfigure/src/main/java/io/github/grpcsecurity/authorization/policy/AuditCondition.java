package io.github.grpcsecurity.authorization.policy;

/** Which decisions are audited, in the words of gRFC A59. */
enum AuditCondition {

	NONE, ON_DENY, ON_ALLOW, ON_DENY_AND_ALLOW;

	boolean includes(boolean allowed) {
		return switch (this) {
			case NONE -> false;
			case ON_DENY -> !allowed;
			case ON_ALLOW -> allowed;
			case ON_DENY_AND_ALLOW -> true;
		};
	}

}
