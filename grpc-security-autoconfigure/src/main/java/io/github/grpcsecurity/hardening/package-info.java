/**
 * Bounds what a client can make the server do before anybody knows who it is.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.hardening.ConnectionLimitsConfigurer}.
 */
@NullMarked
package io.github.grpcsecurity.hardening;

import org.jspecify.annotations.NullMarked;
