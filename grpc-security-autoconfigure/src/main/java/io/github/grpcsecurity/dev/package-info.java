/**
 * Throw-away credentials for development: a certificate authority, certificates and a key
 * that signs tokens.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.dev.DevDirectory}.
 */
@NullMarked
package io.github.grpcsecurity.dev;

import org.jspecify.annotations.NullMarked;
