/**
 * Knows which tokens, subjects and keys have been revoked, and shares that with other
 * servers. Start reading at
 * {@link io.github.grpcsecurity.authentication.revocation.CredentialRevocations}.
 */
@NullMarked
package io.github.grpcsecurity.authentication.revocation;

import org.jspecify.annotations.NullMarked;
