/**
 * Verifies API keys: {@code <id>.<secret>} in a header, of which only a hash is known
 * here.
 * <p>
 * Start reading at
 * {@link io.github.grpcsecurity.authentication.apikey.ApiKeyAuthenticator}. Keys come
 * from any number of {@link io.github.grpcsecurity.authentication.apikey.ApiKeySource}s.
 */
@NullMarked
package io.github.grpcsecurity.authentication.apikey;

import org.jspecify.annotations.NullMarked;
