/**
 * Turns the credentials of a call into the identity of its caller.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.authentication.AuthenticationStage},
 * which asks every {@link io.github.grpcsecurity.authentication.CredentialAuthenticator};
 * each kind of credential has a package of its own below this one.
 */
@NullMarked
package io.github.grpcsecurity.authentication;

import org.jspecify.annotations.NullMarked;
