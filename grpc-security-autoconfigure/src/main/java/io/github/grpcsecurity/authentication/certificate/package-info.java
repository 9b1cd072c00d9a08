/**
 * Takes the certificate of a client for its identity.
 * <p>
 * Start reading at
 * {@link io.github.grpcsecurity.authentication.certificate.CertificateAuthenticator}.
 * Whether a certificate is good was decided before, by the TLS handshake and the trust
 * that is asked again for each call; this package says who its owner is.
 */
@NullMarked
package io.github.grpcsecurity.authentication.certificate;

import org.jspecify.annotations.NullMarked;
