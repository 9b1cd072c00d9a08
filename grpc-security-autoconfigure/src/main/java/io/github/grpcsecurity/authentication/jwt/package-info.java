/**
 * Verifies JSON Web Tokens with Spring Security's resource server.
 * <p>
 * Start reading at
 * {@link io.github.grpcsecurity.authentication.jwt.JwtCredentialAuthenticator}, which
 * takes a token through all checks;
 * {@link io.github.grpcsecurity.authentication.jwt.JwtIssuer} describes whose tokens are
 * trusted.
 * <p>
 * Keys are fetched by classes of this package and not by Nimbus's
 * {@code JWKSourceBuilder}, although that has refresh-ahead, a rate limit and outage
 * tolerance, too: it waits for an unknown key on the thread that asks, which here is one
 * that carries calls, so a key server that hangs would stop all calls and not only those
 * that need it. The limits are the same or stricter; what it offers besides, several
 * sources and an event listener, is not needed. Signatures and claims are left to Nimbus
 * and Spring Security.
 */
@NullMarked
package io.github.grpcsecurity.authentication.jwt;

import org.jspecify.annotations.NullMarked;
