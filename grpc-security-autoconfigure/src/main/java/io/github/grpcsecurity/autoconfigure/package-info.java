/**
 * Wires the features into a server, from {@code grpc.security.*} properties; it decides
 * nothing itself.
 */
@NullMarked
package io.github.grpcsecurity.autoconfigure;

import org.jspecify.annotations.NullMarked;
