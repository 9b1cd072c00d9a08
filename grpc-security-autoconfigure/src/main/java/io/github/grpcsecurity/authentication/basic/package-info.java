/**
 * Verifies user names with passwords, for those who come from servers that did.
 * <p>
 * Start reading at
 * {@link io.github.grpcsecurity.authentication.basic.BasicAuthenticator}.
 */
@NullMarked
package io.github.grpcsecurity.authentication.basic;

import org.jspecify.annotations.NullMarked;
