package io.github.grpcsecurity.autoconfigure;

import java.net.InetAddress;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;

import io.github.grpcsecurity.authorization.AuthorizationExplainer;
import io.github.grpcsecurity.authorization.AuthorizationExplanation;
import io.github.grpcsecurity.authorization.CallDescription;
import io.github.grpcsecurity.server.AddressRange;
import io.github.grpcsecurity.ratelimit.ConcurrencyRule;
import io.github.grpcsecurity.ratelimit.RateLimitObserver;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.VerifiedCredential;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.actuate.endpoint.InvalidEndpointRequestException;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;
import org.springframework.boot.actuate.endpoint.annotation.Selector;
import org.springframework.boot.actuate.endpoint.annotation.Selector.Match;

/**
 * Actuator endpoint that shows what calls pass through: the order of the stages, and what
 * is checked for each method.
 * <p>
 * It shows the very plans that calls execute, as they are at that moment. With the name
 * of a method behind it, such as {@code /actuator/grpcsecurity/bank.Accounts/Transfer},
 * it explains what would be decided about a call to that method.
 *
 * @since 0.1.0
 */
@Endpoint(id = "grpcsecurity")
public final class GrpcSecurityEndpoint {

	private final Supplier<@Nullable GrpcServerSecurity> security;

	private final AuthorizationExplainer explainer;

	private final Supplier<List<LimitDescriptor>> limits;

	/**
	 * Creates an endpoint.
	 * @param security gives the security of the server; {@code null} when there is no
	 * server
	 * @param explainer says what would be decided about calls
	 * @param limits gives the limits and what they did of late
	 */
	public GrpcSecurityEndpoint(Supplier<@Nullable GrpcServerSecurity> security, AuthorizationExplainer explainer,
			Supplier<List<LimitDescriptor>> limits) {
		this.security = security;
		this.explainer = explainer;
		this.limits = limits;
	}

	/**
	 * Shows the security of the server as it is now.
	 * @return a description without secrets
	 */
	@ReadOperation
	public SecurityDescriptor security() {
		GrpcServerSecurity current = this.security.get();
		if (current == null) {
			return new SecurityDescriptor(List.of(), List.of(), this.limits.get());
		}
		return new SecurityDescriptor(current.stages().stream().map(StageDescriptor::of).toList(),
				current.plans().stream().map(MethodDescriptor::of).toList(), this.limits.get());
	}

	/**
	 * Explains what would be decided about a call. Nothing is counted, audited or
	 * limited, and no credential is looked at: who calls is taken as given.
	 * @param method service and method
	 * @param principal name of the caller; without one, and without authorities, the
	 * caller is anonymous
	 * @param authorities authorities of the caller, such as {@code ROLE_TELLER}
	 * @param kind kind of the credential; {@code jwt} unless set
	 * @param headers headers as {@code name:value}
	 * @param address IP address of the client
	 * @param certificate URI in the verified certificate of the client
	 * @return everything that has an opinion, and what it says; {@code null} if there is
	 * no such method
	 * @throws InvalidEndpointRequestException if something of this cannot be understood
	 */
	@ReadOperation
	public @Nullable AuthorizationExplanation explain(@Selector(match = Match.ALL_REMAINING) String[] method,
			@Nullable String principal, String @Nullable [] authorities, @Nullable String kind,
			String @Nullable [] headers, @Nullable String address, @Nullable String certificate) {
		CallDescription call = caller(principal, authorities, kind);
		for (String header : (headers != null) ? headers : new String[0]) {
			call = withHeader(call, header);
		}
		if (address != null) {
			InetAddress parsed = AddressRange.address(address);
			if (parsed == null) {
				throw invalid("address is no IP address");
			}
			call = call.from(parsed);
		}
		PeerIdentity identity = (certificate != null && !certificate.isEmpty())
				? PeerIdentity.of(List.of(certificate), List.of(), null, null) : null;
		if (identity != null) {
			call = call.certificate(identity);
		}
		return this.explainer.explain(String.join("/", method), call);
	}

	private static CallDescription caller(@Nullable String principal, String @Nullable [] authorities,
			@Nullable String kind) {
		if (principal == null && authorities == null) {
			if (kind != null) {
				throw invalid("kind needs a principal or authorities");
			}
			return CallDescription.anonymous();
		}
		return CallDescription.credential((kind != null) ? kind : VerifiedCredential.JWT,
				(principal != null) ? principal : "somebody", (authorities != null) ? authorities : new String[0]);
	}

	private static CallDescription withHeader(CallDescription call, String header) {
		int colon = header.indexOf(':');
		try {
			return call.header(header.substring(0, Math.max(colon, 0)), header.substring(colon + 1));
		}
		catch (IllegalArgumentException ex) {
			throw invalid("headers are written as name:value, without binary ones");
		}
	}

	private static InvalidEndpointRequestException invalid(String reason) {
		return new InvalidEndpointRequestException(reason, reason);
	}

	/**
	 * The security of a server.
	 *
	 * @param stages what calls pass through, in this order
	 * @param methods every method and what is checked there; the last stands for all that
	 * the server does not have
	 * @param limits the limits that calls count against
	 */
	public record SecurityDescriptor(List<StageDescriptor> stages, List<MethodDescriptor> methods,
			List<LimitDescriptor> limits) {
	}

	/**
	 * A limit that calls count against.
	 *
	 * @param name name of its rule
	 * @param key what is counted separately
	 * @param methods the methods it is for
	 * @param limit permits per period, the burst, and what a call costs; or the calls in
	 * flight
	 * @param shadow whether it only says what it would do
	 * @param onFailure what happens while the store of permits does not answer;
	 * {@code null} if it asks none: if it counts calls in flight, or each call by itself
	 * @param replaces the rules that do not count what this one counts
	 * @param lastMinute how many calls it allowed, denied and so on in this server in the
	 * last minute
	 */
	public record LimitDescriptor(String name, String key, List<String> methods, String limit, boolean shadow,
			@Nullable String onFailure, Set<String> replaces, Map<String, Long> lastMinute) {

		static LimitDescriptor of(RateLimitRule rule, Map<RateLimitObserver.Outcome, Long> recent) {
			return new LimitDescriptor(rule.name(), rule.key().toString(),
					rule.methods().stream().map(Object::toString).toList(), rule.numbers(), rule.shadow(),
					rule.key().ofCall() ? null : rule.onFailure().name().toLowerCase(Locale.ROOT), rule.replaces(),
					lastMinute(recent, RateLimitObserver.Outcome.values()));
		}

		static LimitDescriptor of(ConcurrencyRule rule, long now, Map<RateLimitObserver.Outcome, Long> recent) {
			return new LimitDescriptor(rule.name(), rule.key().toString(),
					rule.methods().stream().map(Object::toString).toList(),
					rule.describe() + ((rule.adaptive() != null) ? ", now " + now : ""), rule.shadow(), null, Set.of(),
					lastMinute(recent, RateLimitObserver.Outcome.ALLOWED, RateLimitObserver.Outcome.DENIED,
							RateLimitObserver.Outcome.SHADOW_DENIED));
		}

		private static Map<String, Long> lastMinute(Map<RateLimitObserver.Outcome, Long> recent,
				RateLimitObserver.Outcome... outcomes) {
			Map<String, Long> lastMinute = new LinkedHashMap<>();
			for (RateLimitObserver.Outcome outcome : outcomes) {
				lastMinute.put(outcome.name().toLowerCase(Locale.ROOT), recent.getOrDefault(outcome, 0L));
			}
			return lastMinute;
		}

	}

	/**
	 * One feature's part in the pipeline.
	 *
	 * @param stage where it stands
	 * @param type name of its class
	 */
	public record StageDescriptor(SecurityStage stage, String type) {

		static StageDescriptor of(CallStage stage) {
			return new StageDescriptor(stage.stage(), stage.getClass().getName());
		}

	}

	/**
	 * A method and what is checked when it is called.
	 *
	 * @param method its name as gRPC writes it
	 * @param type which side streams
	 * @param bean name of the bean that implements the service
	 * @param checks the checks in the order in which they run
	 * @param details what else features noted about it, such as the audit level
	 */
	public record MethodDescriptor(String method, String type, @Nullable String bean,
			List<MethodPlan.StepDescription> checks, Map<String, Object> details) {

		static MethodDescriptor of(MethodPlan plan) {
			Map<String, Object> details = new LinkedHashMap<>();
			plan.details().forEach((name, value) -> details.put(name, printable(value)));
			return new MethodDescriptor(plan.method().fullName(), plan.method().descriptor().getType().name(),
					plan.method().beanName(), plan.describe(), details);
		}

		// A feature's own objects are not made to be taken apart by a serializer
		private static Object printable(Object value) {
			return (value instanceof Number || value instanceof Boolean) ? value : value.toString();
		}

	}

}
