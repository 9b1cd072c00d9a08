/**
 * Authenticates workloads of Google Cloud by the service account that ALTS has verified:
 * {@link io.github.grpcsecurity.authentication.alts.AltsCredentialAuthenticator}.
 */
@NullMarked
package io.github.grpcsecurity.authentication.alts;

import org.jspecify.annotations.NullMarked;
