package io.github.grpcsecurity.audit;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;

/**
 * Notes in the plan of each method what is recorded about its calls. It checks nothing:
 * audit refuses no call.
 * <p>
 * The first rule that names a method holds for it; methods that none names are recorded
 * whole.
 *
 * @since 0.1.0
 */
public final class AuditRuleStage implements CallStage {

	private static final String DETAIL = "audit";

	private static final String PROPERTY = "grpc.security.audit.rules[%d].%s";

	private final List<CompiledRule> rules;

	/**
	 * Creates a stage.
	 * @param rules the rules, the first to be asked first
	 * @throws InvalidConfigurationPropertyValueException if a pattern cannot be read
	 */
	public AuditRuleStage(List<AuditRule> rules) {
		List<CompiledRule> compiled = new ArrayList<>();
		for (int i = 0; i < rules.size(); i++) {
			compiled.add(compile(rules.get(i), i));
		}
		this.rules = List.copyOf(compiled);
	}

	private static CompiledRule compile(AuditRule rule, int index) {
		if (rule.methods().isEmpty()) {
			throw new InvalidConfigurationPropertyValueException(PROPERTY.formatted(index, "methods"), null,
					"A rule needs the methods it is for: package.Service/Method, package.Service/* or ** for all.");
		}
		List<CompiledPattern> patterns = new ArrayList<>();
		for (int i = 0; i < rule.methods().size(); i++) {
			String property = PROPERTY.formatted(index, "methods[" + i + "]");
			String written = rule.methods().get(i);
			try {
				patterns.add(new CompiledPattern(property, MethodPattern.parse(written)));
			}
			catch (IllegalArgumentException ex) {
				throw new InvalidConfigurationPropertyValueException(property, written, ex.getMessage() + ".");
			}
		}
		return new CompiledRule(rule, patterns);
	}

	@Override
	public SecurityStage stage() {
		return SecurityStage.ADMISSION;
	}

	@Override
	public void planned(Collection<SecuredMethod> methods) {
		for (CompiledRule rule : this.rules) {
			for (CompiledPattern pattern : rule.patterns()) {
				if (methods.stream().noneMatch(pattern.pattern()::matches)) {
					throw new InvalidConfigurationPropertyValueException(pattern.property(), pattern.pattern(),
							"No method of this server matches. Correct the pattern or remove it.");
				}
			}
		}
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		AuditRule found = AuditRule.DEFAULT;
		for (CompiledRule rule : this.rules) {
			if (rule.patterns().stream().anyMatch((pattern) -> pattern.pattern().matches(method))) {
				found = rule.rule();
				break;
			}
		}
		plan.detail(DETAIL, new Level(found));
	}

	/** What is recorded about a call, which may have ended before it had a plan. */
	AuditRule rule(SecuredCall call) {
		MethodPlan plan = call.plan();
		if (plan != null) {
			return (plan.details().get(DETAIL) instanceof Level level) ? level.rule() : AuditRule.DEFAULT;
		}
		for (CompiledRule rule : this.rules) {
			if (rule.patterns().stream().anyMatch((pattern) -> pattern.pattern().matches(call.fullMethodName()))) {
				return rule.rule();
			}
		}
		return AuditRule.DEFAULT;
	}

	private record CompiledRule(AuditRule rule, List<CompiledPattern> patterns) {
	}

	private record CompiledPattern(String property, MethodPattern pattern) {
	}

	/** The detail in a plan. */
	private record Level(AuditRule rule) {

		@Override
		public String toString() {
			String level = this.rule.level().name().toLowerCase(Locale.ROOT);
			return (this.rule.level() == AuditLevel.METADATA && this.rule.outcome() == AuditOutcome.DENIED)
					? level + ", denied calls only" : level;
		}

	}

}
