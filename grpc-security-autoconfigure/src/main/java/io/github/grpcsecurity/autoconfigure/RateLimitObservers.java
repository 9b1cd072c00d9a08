package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import io.github.grpcsecurity.ratelimit.ConcurrencyRule;
import io.github.grpcsecurity.ratelimit.RateLimitObserver;
import io.github.grpcsecurity.ratelimit.RateLimitRule;

import org.springframework.beans.factory.ObjectProvider;

/**
 * All who learn what rules do, as one.
 *
 * @param all the observers, in their order
 */
record RateLimitObservers(List<RateLimitObserver> all) implements RateLimitObserver {

	static RateLimitObservers of(ObjectProvider<RateLimitObserver> observers) {
		return new RateLimitObservers(observers.orderedStream().toList());
	}

	@Override
	public void applied(RateLimitRule rule, Outcome outcome) {
		this.all.forEach((observer) -> observer.applied(rule, outcome));
	}

	@Override
	public void applied(ConcurrencyRule rule, Outcome outcome) {
		this.all.forEach((observer) -> observer.applied(rule, outcome));
	}

}
