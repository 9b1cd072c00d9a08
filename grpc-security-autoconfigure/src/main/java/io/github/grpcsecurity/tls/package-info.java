/**
 * Credentials of the server for TLS, and how they get onto its builder.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.tls.TransportConfigurer}.
 * {@link io.github.grpcsecurity.tls.TlsMaterial} is what a server proves itself with and
 * trusts; {@link io.github.grpcsecurity.tls.TlsCredentials} hands it to TLS so that it
 * can be exchanged as a whole, and {@link io.github.grpcsecurity.tls.TlsReloader} does
 * that when files change.
 */
@NullMarked
package io.github.grpcsecurity.tls;

import org.jspecify.annotations.NullMarked;
