/**
 * Verifies JSON Web Tokens with Spring Security's resource server.
 * <p>
 * Start reading at
 * {@link io.github.grpcsecurity.authentication.jwt.JwtCredentialAuthenticator}, which
 * takes a token through all checks;
 * {@link io.github.grpcsecurity.authentication.jwt.JwtIssuer} describes whose tokens are
 * trusted.
 */
@NullMarked
package io.github.grpcsecurity.authentication.jwt;

import org.jspecify.annotations.NullMarked;
