/**
 * Asks other services, so that no call waits for them with a thread or for long: what
 * every guard needs that cannot decide by itself. Features use it; it knows none of them.
 */
@NullMarked
package io.github.grpcsecurity.remote;

import org.jspecify.annotations.NullMarked;
