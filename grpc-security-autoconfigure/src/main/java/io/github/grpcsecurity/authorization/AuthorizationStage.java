package io.github.grpcsecurity.authorization;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Stream;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import org.aopalliance.intercept.MethodInvocation;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.aop.framework.Advised;
import org.springframework.aop.support.AopUtils;
import org.springframework.context.ApplicationContext;
import org.springframework.security.access.PermissionEvaluator;
import org.springframework.security.access.expression.method.DefaultMethodSecurityExpressionHandler;
import org.springframework.security.access.expression.method.MethodSecurityExpressionHandler;
import org.springframework.security.access.hierarchicalroles.RoleHierarchy;
import org.springframework.security.authorization.AuthorizationManagerFactory;
import org.springframework.security.authorization.DefaultAuthorizationManagerFactory;
import org.springframework.security.authorization.method.AuthorizationAdvisor;
import org.springframework.security.core.annotation.AnnotationTemplateExpressionDefaults;

/**
 * Lets a call pass only if everything that has an opinion about its method allows it: the
 * first rule that matches, and the annotations on the method of the service or its class.
 * Where nothing has one, the default decides, and it denies unless set otherwise.
 * <p>
 * The annotations are {@code @PreAuthorize}, {@code @Secured}, {@code @RolesAllowed},
 * {@code @PermitAll}, {@code @DenyAll} and meta-annotations of them. They are read from
 * the service itself and enforced before its handler starts, so it does not matter how
 * the service is proxied, whether its methods are final, or who wrote
 * {@code bindService()}.
 * <p>
 * In {@code @PreAuthorize}, {@code #request} and {@code #message} name the current
 * message in all four call types. So does the name of the first parameter, where the Java
 * method takes the message itself. An expression that uses one of them is asked for every
 * message of the call before the handler sees it, and the handler does not start before
 * the first message has passed; the message is {@code null} if a client ends its stream
 * without sending one. Any other expression is asked once, when the call starts, and so
 * are those parts of one joined by {@code and} that do not look at the message. An
 * expression that fails denies; one that asks a bean which fails refuses with
 * {@code UNAVAILABLE}.
 * <p>
 * Health checks and reflection have a setting of their own: only rules that spell out
 * their service apply to them as well. A {@link CallPolicy} is asked about them like
 * about any other method, unless it says otherwise.
 *
 * @since 0.1.0
 */
public final class AuthorizationStage implements CallStage {

	private static final Log logger = LogFactory.getLog(AuthorizationStage.class);

	private static final String HEALTH = "grpc.health.v1.Health";

	private static final Set<String> REFLECTION = Set.of("grpc.reflection.v1.ServerReflection",
			"grpc.reflection.v1alpha.ServerReflection");

	private final List<CallPolicy> policies;

	private final List<CompiledRule> rules;

	private final AnnotationOpinions annotations;

	private final DecisionRecorder recorder;

	private final Access defaultAccess;

	private final Access healthAccess;

	private final Access reflectionAccess;

	private final Set<String> warned = new HashSet<>();

	// Guarded by warned
	private @Nullable String reported;

	private AuthorizationStage(Builder builder) {
		this.policies = List.copyOf(builder.policies);
		RuleExpressionHandler ruleHandler = new RuleExpressionHandler();
		builder.configure(ruleHandler);
		ApplicationContext context = builder.context;
		Predicate<String> knownBean = (name) -> context != null && context.containsBean(name);
		this.rules = CompiledRule.compile(builder.rules, ruleHandler, knownBean, builder.conditions);
		this.recorder = new DecisionRecorder(builder.observer);
		this.annotations = new AnnotationOpinions(new MethodAnnotations(builder.templateDefaults),
				builder.methodHandler(), builder.roleHierarchy, builder.rolePrefix, knownBean,
				(name) -> knownBean.test(name) && context != null && methodSecurityProxies(context.getBean(name)),
				this::warn);
		this.defaultAccess = builder.defaultAccess;
		this.healthAccess = builder.healthAccess;
		this.reflectionAccess = builder.reflectionAccess;
	}

	/** Whether Spring's own method security runs when a handler calls the bean. */
	private static boolean methodSecurityProxies(Object bean) {
		return AopUtils.isCglibProxy(bean) && bean instanceof Advised advised
				&& Arrays.stream(advised.getAdvisors())
					.anyMatch((advisor) -> advisor instanceof AuthorizationAdvisor
							|| advisor.getAdvice() instanceof AuthorizationAdvisor);
	}

	/**
	 * Starts to put together a stage.
	 * @return a builder that denies everything but health checks and annotated methods
	 */
	public static Builder builder() {
		return new Builder();
	}

	@Override
	public SecurityStage stage() {
		return SecurityStage.AUTHORIZATION;
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		if (method.unknown()) {
			return;
		}
		chain(method).addTo(plan, this.recorder, this::named);
	}

	private AuthorizationChain chain(SecuredMethod method) {
		List<Opinion> opinions = new ArrayList<>(opinions(method));
		if (opinions.isEmpty() && !decidedByPolicy(method)) {
			opinions.add(Opinion.of(this.defaultAccess, "default-access", "default-access"));
		}
		restriction(method, opinions);
		if (!hidden(method)) {
			// First, so that they hear of every call that gets this far
			opinions.addAll(0, policies(method, false));
			opinions.addAll(policies(method, true));
		}
		return new AuthorizationChain(shadowRules(method).stream().map((rule) -> rule.opinion(method)).toList(),
				opinions);
	}

	/** Whether audit events name what allowed the call. */
	private boolean named(Opinion opinion) {
		return this.rules.stream().anyMatch((rule) -> rule.id().equals(opinion.id()));
	}

	private void restriction(SecuredMethod method, List<Opinion> opinions) {
		JavaMethod java = JavaMethod.find(method, MethodAnnotations::annotated);
		Opinion restriction = (java != null) ? this.annotations.restriction(java) : null;
		if (restriction != null) {
			opinions.add(restriction);
		}
	}

	private List<Opinion> policies(SecuredMethod method, boolean asksOthers) {
		return this.policies.stream()
			.filter((policy) -> policy.asksOthers() == asksOthers && policy.applies(method))
			.map(Opinion::of)
			.toList();
	}

	private boolean decidedByPolicy(SecuredMethod method) {
		return this.policies.stream().anyMatch((policy) -> policy.applies(method) && policy.decides(method));
	}

	private boolean hidden(SecuredMethod method) {
		return this.reflectionAccess == Access.DENY && REFLECTION.contains(method.serviceName());
	}

	private List<Opinion> opinions(SecuredMethod method) {
		List<Opinion> opinions = new ArrayList<>();
		if (REFLECTION.contains(method.serviceName())) {
			if (hidden(method)) {
				return List.of(Opinion.hidden("reflection-access", "grpc.security.reflection.access"));
			}
			opinions.add(Opinion.of(this.reflectionAccess, "reflection-access", "grpc.security.reflection.access"));
		}
		else if (HEALTH.equals(method.serviceName())) {
			opinions.add(Opinion.of(this.healthAccess, "health-access", "health-access"));
		}
		CompiledRule rule = rule(method);
		if (rule != null) {
			opinions.add(rule.opinion(method));
		}
		JavaMethod java = JavaMethod.find(method, MethodAnnotations::annotated);
		if (java != null) {
			opinions.addAll(this.annotations.of(java));
		}
		return opinions;
	}

	private @Nullable CompiledRule rule(SecuredMethod method) {
		return matching(method).filter((rule) -> !rule.shadow()).findFirst().orElse(null);
	}

	/** Rules that would be the first one if they were not in the shadow. */
	private List<CompiledRule> shadowRules(SecuredMethod method) {
		return matching(method).takeWhile(CompiledRule::shadow).toList();
	}

	private Stream<CompiledRule> matching(SecuredMethod method) {
		boolean byName = REFLECTION.contains(method.serviceName()) || HEALTH.equals(method.serviceName());
		return this.rules.stream().filter((rule) -> rule.matches(method, byName));
	}

	@Override
	public void planned(Collection<SecuredMethod> methods) {
		if (methods.isEmpty()) {
			return;
		}
		this.rules.forEach((rule) -> rule.requireMatches(methods));
		this.policies.forEach((policy) -> policy.planned(methods));
		checkServices(methods);
		warnOfUnreachableRules(methods);
		report(methods);
		List<String> uncovered = methods.stream()
			.filter((method) -> opinions(method).isEmpty() && !decidedByPolicy(method))
			.map(SecuredMethod::fullName)
			.toList();
		if (!uncovered.isEmpty()) {
			warn("No rule and no annotation says who may call " + String.join(", ", uncovered) + ": "
					+ ((this.defaultAccess == Access.DENY) ? "every call to them is refused"
							: "every known caller may (grpc.security.authorization.default-access)")
					+ ". Annotate them, or add to grpc.security.authorization.rules");
		}
		if (this.reflectionAccess != Access.DENY
				&& methods.stream().anyMatch((method) -> REFLECTION.contains(method.serviceName()))) {
			warn("Server reflection is open (grpc.security.reflection.access="
					+ this.reflectionAccess.name().toLowerCase(Locale.ROOT)
					+ "): it shows every method and message of this server");
		}
	}

	/** Tells once, and again when it has changed, who decides about each method. */
	private void report(Collection<SecuredMethod> methods) {
		StringBuilder text = new StringBuilder("Who may call what: everything that stands behind a method must allow");
		for (SecuredMethod method : methods) {
			text.append(System.lineSeparator())
				.append("  ")
				.append(method.fullName())
				.append(": ")
				.append(String.join("; ", chain(method).descriptions()));
		}
		String report = text.toString();
		boolean news;
		synchronized (this.warned) {
			news = !report.equals(this.reported);
			this.reported = report;
		}
		if (news) {
			logger.info(report);
		}
	}

	/**
	 * Finds annotations that cannot be enforced: one on a method of which we cannot tell
	 * what it implements would protect nothing, and nobody would notice.
	 */
	private void checkServices(Collection<SecuredMethod> methods) {
		IdentityHashMap<Object, List<JavaMethod>> services = new IdentityHashMap<>();
		for (SecuredMethod method : methods) {
			JavaMethod java = JavaMethod.find(method, MethodAnnotations::annotated);
			if (java != null) {
				services.computeIfAbsent(java.target(), (target) -> new ArrayList<>()).add(java);
			}
		}
		for (List<JavaMethod> service : services.values()) {
			if (Proxy.isProxyClass(service.get(0).type())) {
				warn("The service of " + service.get(0).rpc().serviceName()
						+ " is behind a proxy that cannot be looked through: only security annotations on the"
						+ " interfaces of " + service.get(0).type().getName() + " are enforced");
			}
			List<JavaMethod> lost = service.stream().filter((java) -> java.method() == null).toList();
			Class<?> type = service.get(0).type();
			if (!lost.isEmpty() || JavaMethod.bindsItself(type)) {
				checkAnnotationsRun(type, service, (lost.isEmpty() ? service : lost).get(0));
			}
			if (!lost.isEmpty() && !MethodAnnotations.annotated(type)
					&& !REFLECTION.contains(lost.get(0).rpc().serviceName())) {
				warn("Of " + lost.get(0).rpc().fullName() + ", it is not known which method of " + type.getName()
						+ " runs: annotations on another class do not count, only rules do");
			}
		}
	}

	private static void checkAnnotationsRun(Class<?> type, List<JavaMethod> service, JavaMethod example) {
		Set<Method> run = new HashSet<>();
		service.forEach((java) -> run.add(java.method()));
		for (Method method : JavaMethod.allMethods(type)) {
			if (MethodAnnotations.annotated(method) && !run.contains(method) && !overridden(method, run)) {
				throw new UnenforceableAnnotationException(
						"There is a security annotation on " + JavaMethod.describe(method)
								+ ", but no RPC is known to run it, and of " + example.rpc().fullName()
								+ " it is not certain which method runs.",
						"Name the method " + JavaMethod.generatedName(example.rpc().bareName())
								+ " and give it the parameters that gRPC generates, annotate the class, or remove the"
								+ " annotation and write a rule under grpc.security.authorization.rules.");
			}
		}
	}

	/** Whether a method of a subclass runs in the place of another one. */
	private static boolean overridden(Method method, Set<Method> run) {
		return !Modifier.isPrivate(method.getModifiers()) && !Modifier.isStatic(method.getModifiers())
				&& run.stream()
					.anyMatch((other) -> other != null && other.getName().equals(method.getName())
							&& other.getParameterCount() == method.getParameterCount()
							&& method.getDeclaringClass().isAssignableFrom(other.getDeclaringClass()));
	}

	private void warnOfUnreachableRules(Collection<SecuredMethod> methods) {
		Set<CompiledRule> reached = new HashSet<>();
		for (SecuredMethod method : methods) {
			CompiledRule rule = rule(method);
			if (rule != null) {
				reached.add(rule);
			}
			reached.addAll(shadowRules(method));
		}
		for (CompiledRule rule : this.rules) {
			if (!reached.contains(rule)) {
				warn(rule.property() + " never applies: rules before it match all of its methods first");
			}
		}
	}

	private void warn(String message) {
		boolean first;
		synchronized (this.warned) {
			first = this.warned.add(message);
		}
		if (first) {
			logger.warn(message);
		}
	}

	/** Collects what decides about calls. Not thread-safe. */
	public static final class Builder {

		private final List<CallPolicy> policies = new ArrayList<>();

		private final List<AuthorizationRule> rules = new ArrayList<>();

		private Access defaultAccess = Access.DENY;

		private Access healthAccess = Access.PERMIT;

		private Access reflectionAccess = Access.DENY;

		private @Nullable MethodSecurityExpressionHandler expressionHandler;

		private @Nullable RoleHierarchy roleHierarchy;

		private @Nullable PermissionEvaluator permissionEvaluator;

		private @Nullable AuthorizationManagerFactory<MethodInvocation> methodManagers;

		private @Nullable AuthorizationManagerFactory<SecuredCall> callManagers;

		private String rolePrefix = "ROLE_";

		private AnnotationTemplateExpressionDefaults templateDefaults = new AnnotationTemplateExpressionDefaults();

		private @Nullable ApplicationContext context;

		private @Nullable ConditionCompiler conditions;

		private AuthorizationObserver observer = (rule, outcome) -> {
		};

		private Builder() {
		}

		/**
		 * Adds rules. The first one that matches a method counts.
		 * @param rules the rules, in order
		 * @return this builder
		 */
		public Builder rules(Collection<AuthorizationRule> rules) {
			this.rules.addAll(rules);
			return this;
		}

		/**
		 * Adds a rule behind those there are.
		 * @param method a pattern, such as {@code bank.Accounts/*}
		 * @param access {@code permit}, {@code deny}, {@code authenticated} or an
		 * expression
		 * @return this builder
		 */
		public Builder rule(String method, String access) {
			this.rules.add(new AuthorizationRule(List.of(method), access));
			return this;
		}

		/**
		 * Adds policies, all of which have to allow a call as well.
		 * @param policies the policies, in the order in which they are asked
		 * @return this builder
		 */
		public Builder policies(Collection<? extends CallPolicy> policies) {
			this.policies.addAll(policies);
			return this;
		}

		/**
		 * Sets who may call methods that no rule and no annotation is about.
		 * @param access the access; {@link Access#DENY} unless set
		 * @return this builder
		 */
		public Builder defaultAccess(Access access) {
			this.defaultAccess = access;
			return this;
		}

		/**
		 * Sets who may call the health service.
		 * @param access the access; {@link Access#PERMIT} unless set, because probes
		 * carry no credentials
		 * @return this builder
		 */
		public Builder healthAccess(Access access) {
			this.healthAccess = access;
			return this;
		}

		/**
		 * Sets who may call the reflection service.
		 * @param access the access; with {@link Access#DENY}, which is the default, the
		 * service looks as if it was not there
		 * @return this builder
		 */
		public Builder reflectionAccess(Access access) {
			this.reflectionAccess = access;
			return this;
		}

		/**
		 * Sets what evaluates the expressions of {@code @PreAuthorize}.
		 * @param handler the handler; it brings its own role hierarchy, permission
		 * evaluator and so on
		 * @return this builder
		 */
		public Builder expressionHandler(@Nullable MethodSecurityExpressionHandler handler) {
			this.expressionHandler = handler;
			return this;
		}

		/**
		 * Sets which roles include which others.
		 * @param roleHierarchy the hierarchy
		 * @return this builder
		 */
		public Builder roleHierarchy(@Nullable RoleHierarchy roleHierarchy) {
			this.roleHierarchy = roleHierarchy;
			return this;
		}

		/**
		 * Sets what {@code hasPermission} asks in expressions.
		 * @param permissionEvaluator the evaluator
		 * @return this builder
		 */
		public Builder permissionEvaluator(@Nullable PermissionEvaluator permissionEvaluator) {
			this.permissionEvaluator = permissionEvaluator;
			return this;
		}

		/**
		 * Sets what {@code hasRole} and the like mean in expressions.
		 * @param annotations for annotations
		 * @param rules for rules
		 * @return this builder
		 */
		public Builder authorizationManagers(@Nullable AuthorizationManagerFactory<MethodInvocation> annotations,
				@Nullable AuthorizationManagerFactory<SecuredCall> rules) {
			this.methodManagers = annotations;
			this.callManagers = rules;
			return this;
		}

		/**
		 * Sets what makes an authority of a role.
		 * @param rolePrefix the prefix; {@code ROLE_} unless set
		 * @return this builder
		 */
		public Builder rolePrefix(String rolePrefix) {
			this.rolePrefix = rolePrefix;
			return this;
		}

		/**
		 * Sets how placeholders in meta-annotations are treated.
		 * @param templateDefaults the defaults
		 * @return this builder
		 */
		public Builder templateDefaults(AnnotationTemplateExpressionDefaults templateDefaults) {
			this.templateDefaults = templateDefaults;
			return this;
		}

		/**
		 * Sets where beans are looked up that expressions refer to with {@code @name}.
		 * @param context the context
		 * @return this builder
		 */
		public Builder applicationContext(ApplicationContext context) {
			this.context = context;
			return this;
		}

		/**
		 * Sets what compiles the conditions of rules.
		 * @param conditions the compiler; without one, a rule with a condition is refused
		 * @return this builder
		 */
		public Builder conditions(@Nullable ConditionCompiler conditions) {
			this.conditions = conditions;
			return this;
		}

		/**
		 * Sets who learns what was decided.
		 * @param observer the observer
		 * @return this builder
		 */
		public Builder observer(AuthorizationObserver observer) {
			this.observer = observer;
			return this;
		}

		private void configure(RuleExpressionHandler handler) {
			handler.setAuthorizationManagerFactory((this.callManagers != null) ? this.callManagers : managers());
			if (this.permissionEvaluator != null) {
				handler.setPermissionEvaluator(this.permissionEvaluator);
			}
			if (this.context != null) {
				handler.setApplicationContext(this.context);
			}
		}

		private MethodSecurityExpressionHandler methodHandler() {
			if (this.expressionHandler != null) {
				return this.expressionHandler;
			}
			DefaultMethodSecurityExpressionHandler handler = new DefaultMethodSecurityExpressionHandler();
			handler.setAuthorizationManagerFactory((this.methodManagers != null) ? this.methodManagers : managers());
			if (this.permissionEvaluator != null) {
				handler.setPermissionEvaluator(this.permissionEvaluator);
			}
			if (this.context != null) {
				handler.setApplicationContext(this.context);
			}
			return handler;
		}

		private <T> AuthorizationManagerFactory<T> managers() {
			DefaultAuthorizationManagerFactory<T> managers = new DefaultAuthorizationManagerFactory<>();
			managers.setRolePrefix(this.rolePrefix);
			if (this.roleHierarchy != null) {
				managers.setRoleHierarchy(this.roleHierarchy);
			}
			return managers;
		}

		/**
		 * Puts everything together.
		 * @return a stage
		 * @throws org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException
		 * if a rule cannot be understood
		 */
		public AuthorizationStage build() {
			return new AuthorizationStage(this);
		}

	}

}
