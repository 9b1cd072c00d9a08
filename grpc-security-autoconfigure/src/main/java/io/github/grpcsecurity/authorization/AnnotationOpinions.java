package io.github.grpcsecurity.authorization;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.RandomAccess;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Predicate;

import io.github.grpcsecurity.server.CallCheck;
import io.github.grpcsecurity.server.MessageCheck;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.Verdict;
import org.aopalliance.intercept.MethodInvocation;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.expression.EvaluationContext;
import org.springframework.expression.Expression;
import org.springframework.expression.ParseException;
import org.springframework.security.access.expression.SecurityExpressionRoot;
import org.springframework.security.access.expression.method.DefaultMethodSecurityExpressionHandler;
import org.springframework.security.access.expression.method.MethodSecurityExpressionHandler;
import org.springframework.security.access.expression.method.MethodSecurityExpressionOperations;
import org.springframework.security.access.hierarchicalroles.RoleHierarchy;
import org.springframework.security.authentication.AnonymousAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.authority.AuthorityUtils;
import org.springframework.security.core.parameters.DefaultSecurityParameterNameDiscoverer;

/**
 * Turns the annotations on a method into checks.
 * <p>
 * The parts of an expression that refer to the message are asked for every message,
 * before the handler sees it; the others before the handler starts.
 */
final class AnnotationOpinions {

	private static final Log logger = LogFactory.getLog(AnnotationOpinions.class);

	/** These name the message in all call types, whatever the parameter is called. */
	private static final List<String> MESSAGE = List.of("request", "message");

	private static final Authentication NOBODY = new AnonymousAuthenticationToken("grpc-security", "anonymous",
			AuthorityUtils.createAuthorityList("ROLE_ANONYMOUS"));

	private final MethodAnnotations annotations;

	private final MethodSecurityExpressionHandler handler;

	private final @Nullable RoleHierarchy roleHierarchy;

	private final String rolePrefix;

	private final Predicate<String> knownBean;

	private final Predicate<String> proxiedBean;

	private final Consumer<String> warnings;

	private final DefaultSecurityParameterNameDiscoverer parameterNames = new DefaultSecurityParameterNameDiscoverer();

	AnnotationOpinions(MethodAnnotations annotations, MethodSecurityExpressionHandler handler,
			@Nullable RoleHierarchy roleHierarchy, String rolePrefix, Predicate<String> knownBean,
			Predicate<String> proxiedBean, Consumer<String> warnings) {
		this.annotations = annotations;
		this.handler = handler;
		this.roleHierarchy = roleHierarchy;
		this.rolePrefix = rolePrefix;
		this.knownBean = knownBean;
		this.proxiedBean = proxiedBean;
		this.warnings = warnings;
	}

	/**
	 * What the annotations on a method say.
	 * @param method the method
	 * @return one opinion for each kind of annotation
	 * @throws UnenforceableAnnotationException if there is one that would not do what it
	 * says
	 */
	List<Opinion> of(JavaMethod method) {
		MethodAnnotations.Found found = this.annotations.on(method);
		List<Opinion> opinions = new ArrayList<>();
		MethodAnnotations.Roles jsr250 = found.jsr250();
		if (jsr250 != null) {
			opinions.add(jsr250(jsr250, method));
		}
		if (found.authorities() != null) {
			opinions.add(authorities("@Secured", found.authorities(), method));
		}
		if (found.expression() != null) {
			opinions.add(preAuthorize(found.expression(), method));
		}
		return opinions;
	}

	/**
	 * What the annotations on a method demand beyond what anybody grants.
	 * @param method the method
	 * @return the opinion; {@code null} if they demand nothing
	 */
	@Nullable Opinion restriction(JavaMethod method) {
		return this.annotations.sensitive(method)
				? Opinion.sensitive("@SensitiveMethod", new Denial("@SensitiveMethod on " + method.describe())) : null;
	}

	private Opinion jsr250(MethodAnnotations.Roles found, JavaMethod method) {
		if (found.access() != null) {
			return Opinion.of(found.access(), found.annotation(), found.annotation() + " on " + method.describe());
		}
		Set<String> roles = new LinkedHashSet<>();
		found.roles().forEach((role) -> roles.add(this.rolePrefix + role));
		return authorities(found.annotation(), roles, method);
	}

	private Opinion authorities(String annotation, Set<String> names, JavaMethod method) {
		Denial denial = new Denial(annotation + " on " + method.describe());
		return new Opinion(annotation, annotation + " " + names + " on " + method.describe(),
				(call) -> denial.unless(hasAny(call.authentication(), names), call), null);
	}

	/**
	 * Decides as Spring Security's {@code AuthoritiesAuthorizationManager} does, without
	 * an object for the decision.
	 */
	private boolean hasAny(Authentication authentication, Set<String> names) {
		Collection<? extends GrantedAuthority> granted = authentication.getAuthorities();
		if (this.roleHierarchy != null) {
			granted = this.roleHierarchy.getReachableGrantedAuthorities(granted);
		}
		if (granted instanceof List<? extends GrantedAuthority> list && list instanceof RandomAccess) {
			for (int i = 0; i < list.size(); i++) {
				if (has(list.get(i), names)) {
					return true;
				}
			}
			return false;
		}
		for (GrantedAuthority authority : granted) {
			if (has(authority, names)) {
				return true;
			}
		}
		return false;
	}

	private static boolean has(GrantedAuthority authority, Set<String> names) {
		String name = authority.getAuthority();
		return name != null && names.contains(name);
	}

	/**
	 * What is joined by {@code and} is taken apart: parts that do not look at the message
	 * decide before the handler starts and before a message is read.
	 */
	private Opinion preAuthorize(String value, JavaMethod method) {
		Denial denial = new Denial("@PreAuthorize on " + method.describe());
		String description = "@PreAuthorize(\"" + value + "\") on " + method.describe();
		Expression whole = parse(value, description, method);
		List<Expression> parts = ExpressionParts.of(whole);
		List<AccessExpression<MethodInvocation>> early = new ArrayList<>();
		List<AccessExpression<MethodInvocation>> late = new ArrayList<>();
		for (Expression part : parts) {
			ExpressionNames names = ExpressionNames.of(part);
			checkMembers(names, description);
			Set<String> variables = messageVariables(names, description, method);
			boolean decidesEarly = variables.isEmpty() && !(names.root() && customized());
			(decidesEarly ? early : late).add(new AccessExpression<>(part, this.handler, variables, denial,
					names.asksOthers() || customized(), parts.size() > 1));
		}
		return new Opinion("@PreAuthorize", description, early.isEmpty() ? null : atStart(early, method),
				late.isEmpty() ? null : onMessages(late, method));
	}

	private static CallCheck atStart(List<AccessExpression<MethodInvocation>> expressions, JavaMethod method) {
		MethodInvocation invocation = invocation(method, null);
		return (call) -> check(expressions, call, invocation, null);
	}

	private static MessageCheck onMessages(List<AccessExpression<MethodInvocation>> expressions, JavaMethod method) {
		return (call, message) -> check(expressions, call, invocation(method, message), message);
	}

	private static Verdict check(List<AccessExpression<MethodInvocation>> expressions, SecuredCall call,
			MethodInvocation invocation, @Nullable Object message) {
		for (int i = 0; i < expressions.size(); i++) {
			Verdict verdict = expressions.get(i).check(call, invocation, message);
			if (!(verdict instanceof Verdict.Proceed)) {
				return verdict;
			}
		}
		return Verdict.proceed();
	}

	private Expression parse(String value, String description, JavaMethod method) {
		try {
			return this.handler.getExpressionParser().parseExpression(value);
		}
		catch (ParseException | IllegalArgumentException | IllegalStateException ex) {
			throw new UnenforceableAnnotationException(
					description + " is not an expression: "
							+ ((ex instanceof ParseException parse) ? parse.getSimpleMessage() : ex.getMessage()) + ".",
					"Correct the expression that guards " + method.rpc().fullName() + ".", ex);
		}
	}

	/** Whether a handler of the user may offer more than Spring Security's own. */
	private boolean customized() {
		return this.handler.getClass() != DefaultMethodSecurityExpressionHandler.class;
	}

	private void checkMembers(ExpressionNames names, String description) {
		for (String bean : names.beans()) {
			if (!this.knownBean.test(bean)) {
				throw new UnenforceableAnnotationException(
						description + " refers to @" + bean + ", but there is no bean of this name.",
						"Correct the name, or add the bean.");
			}
		}
		if (customized()) {
			return;
		}
		for (String name : names.methods()) {
			if (!CompiledRule.hasMethod(SecurityExpressionRoot.class, name)
					&& !CompiledRule.hasMethod(MethodSecurityExpressionOperations.class, name)) {
				throw new UnenforceableAnnotationException(
						description + " calls " + name + "(…), which does not exist.",
						"Correct the name, or publish a MethodSecurityExpressionHandler bean that offers it.");
			}
		}
		for (String name : names.properties()) {
			if (!CompiledRule.hasProperty(SecurityExpressionRoot.class, name)
					&& !CompiledRule.hasProperty(MethodSecurityExpressionOperations.class, name)) {
				throw new UnenforceableAnnotationException(
						description + " refers to " + name + ", which does not exist.",
						"Write #request for the message, '" + name + "' for a text.");
			}
		}
	}

	private Set<String> messageVariables(ExpressionNames names, String description, JavaMethod method) {
		Set<String> aliases = new LinkedHashSet<>(MESSAGE);
		Set<String> others = new LinkedHashSet<>();
		Set<String> used = new LinkedHashSet<>();
		String[] parameters = (method.method() != null) ? this.parameterNames.getParameterNames(method.method()) : null;
		int count = (method.method() != null) ? method.method().getParameterCount() : 0;
		for (int i = 0; i < count; i++) {
			Set<String> target = (i == 0 && method.takesMessage()) ? aliases : others;
			target.add("p" + i);
			target.add("a" + i);
			if (parameters != null && parameters[i] != null) {
				target.add(parameters[i]);
			}
		}
		for (String variable : names.variables()) {
			if (aliases.contains(variable)) {
				used.add(variable);
				warnOfProxy(variable, parameters, description, method);
			}
			else if (others.contains(variable)) {
				throw new UnenforceableAnnotationException(
						description + " refers to #" + variable
								+ ", a parameter that has no value yet when the call is authorized.",
						"Refer to the message of the call as #request, which works in all call types.");
			}
			else if (!known(variable, method)) {
				throw new UnenforceableAnnotationException(
						description + " refers to #" + variable + ", but nothing of this name is known.",
						"Refer to the message of the call as #request, name the parameter with @P(\"" + variable
								+ "\"), or compile with -parameters.");
			}
		}
		return Set.copyOf(used);
	}

	/** Spring's own method security evaluates the same expression once more. */
	private void warnOfProxy(String variable, String @Nullable [] parameters, String description, JavaMethod method) {
		boolean knownToSpring = !MESSAGE.contains(variable)
				|| (parameters != null && Arrays.asList(parameters).contains(variable) && method.takesMessage());
		String bean = method.rpc().beanName();
		if (!knownToSpring && bean != null && this.proxiedBean.test(bean)) {
			this.warnings.accept(description
					+ " is evaluated a second time by the proxy that @EnableMethodSecurity puts"
					+ " around the service, where #" + variable
					+ " is null. Allow null, or name the parameter with @P(\"" + variable + "\") if it is the message");
		}
	}

	/** Whether a handler of the user offers the variable. */
	private boolean known(String variable, JavaMethod method) {
		if (!customized()) {
			return false;
		}
		try {
			EvaluationContext context = this.handler.createEvaluationContext(() -> NOBODY, invocation(method, null));
			return context.lookupVariable(variable) != null;
		}
		catch (RuntimeException ex) {
			logger.debug("The expression handler does not say which variables it offers", ex);
			return false;
		}
	}

	private static MethodInvocation invocation(JavaMethod method, @Nullable Object message) {
		int count = (method.method() != null) ? method.method().getParameterCount() : 0;
		@Nullable Object[] arguments = new Object[count];
		if (method.takesMessage() && count > 0) {
			arguments[0] = message;
		}
		return new CallInvocation(method.methodOrBinding(), method.target(), arguments);
	}

}
