package io.github.grpcsecurity.authorization;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Predicate;

import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;

import org.springframework.beans.BeanUtils;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.expression.Expression;
import org.springframework.expression.ParseException;
import org.springframework.security.access.expression.SecurityExpressionHandler;
import org.springframework.util.ReflectionUtils;
import org.springframework.util.StringUtils;

/**
 * A rule whose patterns and expression have been read.
 */
final class CompiledRule {

	private static final String PROPERTY = "grpc.security.authorization.rules";

	private final String property;

	private final List<MethodPattern> patterns;

	private final Opinion opinion;

	private CompiledRule(String property, List<MethodPattern> patterns, Opinion opinion) {
		this.property = property;
		this.patterns = patterns;
		this.opinion = opinion;
	}

	static List<CompiledRule> compile(List<AuthorizationRule> rules, SecurityExpressionHandler<SecuredCall> handler,
			Predicate<String> knownBean) {
		List<CompiledRule> compiled = new ArrayList<>();
		for (int i = 0; i < rules.size(); i++) {
			compiled.add(compile(rules.get(i), i, handler, knownBean));
		}
		return compiled;
	}

	private static CompiledRule compile(AuthorizationRule rule, int index,
			SecurityExpressionHandler<SecuredCall> handler, Predicate<String> knownBean) {
		String property = PROPERTY + "[" + index + "]";
		if (rule.methods().isEmpty()) {
			throw new InvalidConfigurationPropertyValueException(property + ".methods", rule.methods(),
					"A rule needs at least one method pattern, such as package.Service/*.");
		}
		List<MethodPattern> patterns = new ArrayList<>();
		for (int i = 0; i < rule.methods().size(); i++) {
			String pattern = rule.methods().get(i);
			try {
				patterns.add(MethodPattern.parse(pattern));
			}
			catch (IllegalArgumentException ex) {
				throw new InvalidConfigurationPropertyValueException(property + ".methods[" + i + "]", pattern,
						ex.getMessage() + ".");
			}
		}
		String decidedBy = "rule " + index + " for " + StringUtils.collectionToCommaDelimitedString(rule.methods());
		return new CompiledRule(property, List.copyOf(patterns),
				opinion(rule.access(), property + ".access", decidedBy, handler, knownBean));
	}

	private static Opinion opinion(String access, String property, String decidedBy,
			SecurityExpressionHandler<SecuredCall> handler, Predicate<String> knownBean) {
		for (Access word : Access.values()) {
			if (word.name().toLowerCase(Locale.ROOT).equals(access)) {
				return Opinion.of(word, decidedBy);
			}
		}
		if (!StringUtils.hasText(access)) {
			throw new InvalidConfigurationPropertyValueException(property, access,
					"A rule needs an access: permit, deny, authenticated, or an expression.");
		}
		Expression expression = parse(access, property, handler);
		check(ExpressionNames.of(expression), access, property, knownBean);
		AccessExpression<SecuredCall> compiled = new AccessExpression<>(expression, handler, Set.of(), decidedBy);
		Denial denial = new Denial(decidedBy);
		return new Opinion(access + " by " + decidedBy,
				(call) -> denial.unless(compiled.allows(call, call, null), call), null);
	}

	private static Expression parse(String access, String property, SecurityExpressionHandler<SecuredCall> handler) {
		try {
			return handler.getExpressionParser().parseExpression(access);
		}
		catch (ParseException ex) {
			throw new InvalidConfigurationPropertyValueException(property, access,
					"It is none of permit, deny and authenticated, and not an expression either: "
							+ ex.getSimpleMessage() + ".");
		}
	}

	private static void check(ExpressionNames names, String access, String property, Predicate<String> knownBean) {
		for (String variable : names.variables()) {
			throw new InvalidConfigurationPropertyValueException(property, access,
					"The expression refers to #" + variable
							+ ", but the expression of a rule sees no message and no variables. Put one that does into"
							+ " @PreAuthorize on the method of the service.");
		}
		for (String bean : names.beans()) {
			if (!knownBean.test(bean)) {
				throw new InvalidConfigurationPropertyValueException(property, access,
						"The expression refers to @" + bean + ", but there is no bean of this name.");
			}
		}
		for (String method : names.methods()) {
			if (!hasMethod(RuleExpressionHandler.Root.class, method)) {
				throw new InvalidConfigurationPropertyValueException(property, access, "The expression calls " + method
						+ "(…), which does not exist. There are hasAuthority, hasAnyAuthority, hasRole, hasAnyRole,"
						+ " hasPermission, isAuthenticated and others of Spring Security.");
			}
		}
		for (String name : names.properties()) {
			if (!hasProperty(RuleExpressionHandler.Root.class, name)) {
				throw new InvalidConfigurationPropertyValueException(property, access,
						"It is none of permit, deny and authenticated, and as an expression it refers to " + name
								+ ", which does not exist.");
			}
		}
	}

	static boolean hasMethod(Class<?> type, String name) {
		for (Method method : type.getMethods()) {
			if (method.getName().equals(name)) {
				return true;
			}
		}
		return false;
	}

	static boolean hasProperty(Class<?> type, String name) {
		return BeanUtils.getPropertyDescriptor(type, name) != null || ReflectionUtils.findField(type, name) != null;
	}

	/**
	 * Whether the rule is about a method.
	 * @param method the method
	 * @param byName whether only patterns count that spell out its service
	 * @return whether a pattern matches
	 */
	boolean matches(SecuredMethod method, boolean byName) {
		return this.patterns.stream()
			.anyMatch((pattern) -> pattern.matches(method)
					&& (!byName || pattern.toString().startsWith(method.serviceName() + "/")));
	}

	Opinion opinion() {
		return this.opinion;
	}

	/** Name of the property that holds the rule. */
	String property() {
		return this.property;
	}

	/** Refuses patterns that are about no method, for they are misspelt. */
	void requireMatches(Iterable<SecuredMethod> methods) {
		for (int i = 0; i < this.patterns.size(); i++) {
			MethodPattern pattern = this.patterns.get(i);
			boolean matched = false;
			List<String> names = new ArrayList<>();
			for (SecuredMethod method : methods) {
				matched |= pattern.matches(method);
				names.add(method.fullName());
			}
			if (!matched) {
				throw new InvalidConfigurationPropertyValueException(this.property + ".methods[" + i + "]", pattern,
						"It matches no method of this server, so the rule would protect nothing. The methods are "
								+ String.join(", ", names) + ".");
			}
		}
	}

}
