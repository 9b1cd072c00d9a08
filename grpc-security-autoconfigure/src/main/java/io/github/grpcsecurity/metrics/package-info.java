/**
 * Counts and times calls as they really end, refused ones included, and the handshakes
 * before them.
 */
@NullMarked
package io.github.grpcsecurity.metrics;

import org.jspecify.annotations.NullMarked;
