package io.github.grpcsecurity.metrics;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;

/**
 * Counts how the authentication of each call ends.
 * <p>
 * Its tags are bounded, whatever clients send and whatever kinds of credential an
 * application invents. Calls that were refused before they were authenticated, or went
 * away, are not counted. Thread-safe.
 *
 * @since 0.1.0
 */
public final class AuthenticationMetrics implements CallObserver {

	/**
	 * Name of the counter. Its tag {@code kind} is a kind of credential, {@code none},
	 * {@code several} or {@code custom}; its tag {@code outcome} is {@code success},
	 * {@code anonymous}, {@code refused}, {@code unavailable} or {@code limited}.
	 */
	public static final String AUTHENTICATION = "grpc.security.authentication";

	private static final Set<String> KINDS = Set.of(VerifiedCredential.JWT, VerifiedCredential.OPAQUE_TOKEN,
			VerifiedCredential.CERTIFICATE, VerifiedCredential.ALTS, VerifiedCredential.API_KEY,
			VerifiedCredential.BASIC);

	private static final String NONE = "none";

	private static final String SEVERAL = "several";

	private static final String CUSTOM = "custom";

	/** What the stage notes about a credential that was bad. */
	private static final String REFUSED_KIND = "auth.refused_kind";

	private final MeterRegistry registry;

	private final Map<Key, Counter> counters = new ConcurrentHashMap<>();

	/**
	 * Creates an observer.
	 * @param registry where the counters are registered
	 */
	public AuthenticationMetrics(MeterRegistry registry) {
		this.registry = registry;
	}

	@Override
	public void decided(SecuredCall call, CallDecision decision) {
		SecurityStage stage = decision.stage();
		Refusal refusal = decision.refusal();
		if (decision.outcome() == CallDecision.Outcome.ABANDON
				|| (stage != null && stage.compareTo(SecurityStage.AUTHENTICATION) < 0)) {
			return;
		}
		Key key;
		if (stage == SecurityStage.AUTHENTICATION && refusal != null) {
			key = new Key(refusedKind(call), switch (refusal.kind()) {
				case OVER_LIMIT -> "limited";
				case UNAVAILABLE -> "unavailable";
				default -> "refused";
			});
		}
		else {
			GrpcCaller caller = call.caller();
			key = new Key(kind(caller.credentials()), caller.anonymous() ? "anonymous" : "success");
		}
		this.counters.computeIfAbsent(key, this::counter).increment();
	}

	private static String kind(List<VerifiedCredential> credentials) {
		return switch (credentials.size()) {
			case 0 -> NONE;
			case 1 -> known(credentials.get(0).kind());
			default -> SEVERAL;
		};
	}

	private static String refusedKind(SecuredCall call) {
		String noted = call.notes().get(REFUSED_KIND);
		if (noted == null) {
			return kind(call.caller().credentials());
		}
		List<String> kinds = List.of(noted.split("\\+", -1));
		List<String> known = kinds.stream().filter(KINDS::contains).toList();
		return switch (known.size()) {
			case 0 -> CUSTOM;
			case 1 -> known.get(0);
			default -> SEVERAL;
		};
	}

	private static String known(String kind) {
		return KINDS.contains(kind) ? kind : CUSTOM;
	}

	private Counter counter(Key key) {
		return Counter.builder(AUTHENTICATION)
			.description("Calls by how their authentication ended")
			.tag("kind", key.kind())
			.tag("outcome", key.outcome())
			.register(this.registry);
	}

	private record Key(String kind, String outcome) {
	}

}
