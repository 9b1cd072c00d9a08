package io.github.grpcsecurity.sample;

import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

import io.github.grpcsecurity.authentication.apikey.ApiKey;
import io.github.grpcsecurity.authentication.apikey.ApiKeyMaker;
import io.github.grpcsecurity.authentication.apikey.ApiKeySource;

import org.springframework.stereotype.Component;

/**
 * A partner of the bank that calls with an API key. The sample makes the key anew at each
 * start; in real life, its hash stands in the settings.
 */
@Component
public final class SamplePartner implements ApiKeySource {

	private static final String ID = "partner-7";

	private final ApiKeyMaker.MadeKey made = ApiKeyMaker.make(ID);

	@Override
	public CompletionStage<Optional<ApiKey>> find(String id) {
		return CompletableFuture.completedFuture(ID.equals(id)
				? Optional.of(ApiKey.builder(ID, this.made.hash()).authorities(List.of("ROLE_PARTNER")).build())
				: Optional.empty());
	}

	/** What the partner sends. */
	public String key() {
		return this.made.key();
	}

}
