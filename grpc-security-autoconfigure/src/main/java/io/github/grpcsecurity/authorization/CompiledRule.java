package io.github.grpcsecurity.authorization;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;

import io.github.grpcsecurity.server.CallCheck;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.Verdict;
import org.jspecify.annotations.Nullable;

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

	private static final Pattern NAME = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}");

	private final String property;

	private final String id;

	private final List<MethodPattern> patterns;

	private final AuthorizationRule rule;

	private final Denial denial;

	private final Opinion access;

	private final @Nullable ConditionCompiler conditions;

	private CompiledRule(String property, String id, List<MethodPattern> patterns, AuthorizationRule rule,
			Denial denial, Opinion access, @Nullable ConditionCompiler conditions) {
		this.property = property;
		this.id = id;
		this.patterns = patterns;
		this.rule = rule;
		this.denial = denial;
		this.access = access;
		this.conditions = conditions;
	}

	static List<CompiledRule> compile(List<AuthorizationRule> rules, SecurityExpressionHandler<SecuredCall> handler,
			Predicate<String> knownBean, @Nullable ConditionCompiler conditions) {
		List<CompiledRule> compiled = new ArrayList<>();
		Map<String, Integer> names = new HashMap<>();
		for (int i = 0; i < rules.size(); i++) {
			String name = rules.get(i).name();
			Integer other = (name != null) ? names.put(name, i) : null;
			if (other != null) {
				throw new InvalidConfigurationPropertyValueException(PROPERTY + "[" + i + "].name", name,
						PROPERTY + "[" + other
								+ "] has the same name, so audit events and metrics could not tell which of the two"
								+ " decided. Give each rule a name of its own, or none.");
			}
			compiled.add(compile(rules.get(i), i, handler, knownBean, conditions));
		}
		return compiled;
	}

	private static CompiledRule compile(AuthorizationRule rule, int index,
			SecurityExpressionHandler<SecuredCall> handler, Predicate<String> knownBean,
			@Nullable ConditionCompiler conditions) {
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
		String decidedBy = "rule " + ((rule.name() != null) ? name(rule.name(), property) : index) + " for "
				+ StringUtils.collectionToCommaDelimitedString(rule.methods());
		checkCondition(rule.when(), property, conditions);
		String id = (rule.name() != null) ? rule.name() : "rules[" + index + "]";
		Denial denial = new Denial(decidedBy, rule.hideExistence());
		return new CompiledRule(property, id, List.copyOf(patterns), rule, denial,
				opinion(rule.access(), id, property + ".access", denial, handler, knownBean), conditions);
	}

	private static String name(String name, String property) {
		if (!NAME.matcher(name).matches()) {
			throw new InvalidConfigurationPropertyValueException(property + ".name", name,
					"A name has at most 64 letters, digits, dots, dashes and underscores, and starts with a letter or"
							+ " a digit.");
		}
		return name;
	}

	private static void checkCondition(@Nullable String when, String property, @Nullable ConditionCompiler conditions) {
		if (when == null) {
			return;
		}
		if (conditions == null) {
			throw new InvalidConfigurationPropertyValueException(property + ".when", when,
					"It is a condition in CEL, but CEL is not on the class path. Add the dependency dev.cel:cel, or use"
							+ " grpc-security-starter, which brings it; or remove the rule.");
		}
		try {
			conditions.check(when);
		}
		catch (InvalidConditionException ex) {
			throw new InvalidConfigurationPropertyValueException(property + ".when", when,
					String.valueOf(ex.getMessage()));
		}
	}

	private static Opinion opinion(String access, String id, String property, Denial denial,
			SecurityExpressionHandler<SecuredCall> handler, Predicate<String> knownBean) {
		for (Access word : Access.values()) {
			if (word.name().toLowerCase(Locale.ROOT).equals(access)) {
				return Opinion.of(word, id, denial);
			}
		}
		if (!StringUtils.hasText(access)) {
			throw new InvalidConfigurationPropertyValueException(property, access,
					"A rule needs an access: permit, deny, authenticated, or an expression.");
		}
		Expression expression = parse(access, property, handler);
		ExpressionNames names = ExpressionNames.of(expression);
		check(names, access, property, knownBean);
		AccessExpression<SecuredCall> compiled = new AccessExpression<>(expression, handler, Set.of(), denial,
				names.asksOthers(), false);
		return new Opinion(id, access + " by " + denial.decidedBy(), (call) -> compiled.check(call, call, null), null);
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

	/**
	 * What the rule says about a method that it matches.
	 * @param method the method
	 * @return the opinion
	 * @throws InvalidConfigurationPropertyValueException if its condition does not fit
	 * the method
	 */
	Opinion opinion(SecuredMethod method) {
		String when = this.rule.when();
		if (when == null && !this.rule.sensitive()) {
			return this.access;
		}
		RuleCondition condition = (when != null) ? condition(when, method) : null;
		String description = this.access.description() + (this.rule.sensitive() ? ", more than an API key" : "")
				+ ((when != null) ? ", when " + when : "");
		return new Opinion(this.id, description, (call) -> check(call, condition),
				(condition != null && condition.looksAtMessages())
						? (call, message) -> verdict(call, condition.ask(call, message)) : null);
	}

	private RuleCondition condition(String when, SecuredMethod method) {
		try {
			return Objects.requireNonNull(this.conditions, "conditions").compile(when, method.descriptor());
		}
		catch (InvalidConditionException ex) {
			throw new InvalidConfigurationPropertyValueException(this.property + ".when", when,
					String.valueOf(ex.getMessage()));
		}
	}

	private Verdict check(SecuredCall call, @Nullable RuleCondition condition) {
		CallCheck accessCheck = this.access.callCheck();
		Verdict verdict = (accessCheck != null) ? accessCheck.check(call) : Verdict.proceed();
		if (verdict instanceof Verdict.Proceed && this.rule.sensitive() && !Opinion.moreThanApiKeys(call)) {
			verdict = this.denial.of(call);
		}
		if (verdict instanceof Verdict.Proceed && condition != null) {
			verdict = verdict(call, condition.ask(call));
		}
		return verdict;
	}

	private Verdict verdict(SecuredCall call, RuleCondition.Answer answer) {
		return switch (answer) {
			case TRUE -> Verdict.proceed();
			case FALSE -> this.denial.ofCondition(call, true);
			case FAILED -> this.denial.ofCondition(call, false);
		};
	}

	/** Whether the rule only counts and notes what it would refuse. */
	boolean shadow() {
		return this.rule.shadow();
	}

	/** Names the rule in audit events and metrics. */
	String id() {
		return this.id;
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
