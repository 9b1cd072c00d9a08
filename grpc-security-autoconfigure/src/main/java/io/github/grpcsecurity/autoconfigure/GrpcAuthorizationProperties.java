package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings for who may call what.
 *
 * @param defaultAccess Who may call methods that no rule and no annotation is about.
 * @param rules Rules, of which the first that matches a method counts. Annotations on the
 * method have to allow the call as well.
 * @param healthAccess Who may call the health service, whose probes carry no credentials.
 * Rules apply to it only if they spell out its name.
 * @since 0.1.0
 */
@ConfigurationProperties("grpc.security.authorization")
public record GrpcAuthorizationProperties(@DefaultValue("deny") DefaultAccess defaultAccess,
		@DefaultValue List<Rule> rules, @DefaultValue("permit") HealthAccess healthAccess) {

	/** Who may call methods that nothing else is about. */
	public enum DefaultAccess {

		/** Nobody. */
		DENY,

		/** Every caller who is known. */
		AUTHENTICATED

	}

	/** Who may call the health service. */
	public enum HealthAccess {

		/** Everybody, also without credentials. */
		PERMIT,

		/** Every caller who is known. */
		AUTHENTICATED,

		/** Nobody. */
		DENY

	}

	/**
	 * One rule.
	 *
	 * @param methods Patterns of the methods that the rule is about, such as
	 * bank.Accounts/Get*, bank.Accounts/* or **.
	 * @param access Who may call them: permit, deny, authenticated, or an expression such
	 * as hasAuthority('SCOPE_accounts.read').
	 * @param when A condition in CEL that has to hold as well, such as auth.kind ==
	 * 'jwt'.
	 * @param name Name of the rule in audit events and metrics; without one it goes by
	 * its place.
	 * @param hideExistence Whether known callers who are refused get NOT_FOUND.
	 * @param sensitive Whether to refuse callers who present nothing but API keys.
	 * @param shadow Whether to only count and note what the rule would refuse. Rules
	 * below it apply as if it was not there.
	 */
	public record Rule(@DefaultValue List<String> methods, @Nullable String access, @Nullable String when,
			@Nullable String name, @DefaultValue("false") boolean hideExistence,
			@DefaultValue("false") boolean sensitive, @DefaultValue("false") boolean shadow) {

		public Rule {
			access = OnSetPropertyCondition.valueOf(access);
			when = OnSetPropertyCondition.valueOf(when);
			name = OnSetPropertyCondition.valueOf(name);
		}

	}

}
