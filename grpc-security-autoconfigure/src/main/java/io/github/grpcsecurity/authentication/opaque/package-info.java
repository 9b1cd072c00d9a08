/**
 * Asks the authorization server about tokens that say nothing by themselves (RFC 7662).
 * <p>
 * Start reading at
 * {@link io.github.grpcsecurity.authentication.opaque.OpaqueTokenAuthenticator}; who is
 * asked, and how, is behind
 * {@link io.github.grpcsecurity.authentication.opaque.TokenIntrospector}.
 */
@NullMarked
package io.github.grpcsecurity.authentication.opaque;

import org.jspecify.annotations.NullMarked;
