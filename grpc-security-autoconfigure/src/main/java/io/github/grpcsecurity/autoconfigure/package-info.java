/**
 * Puts the features together from {@code grpc.security.*} properties.
 */
@NullMarked
package io.github.grpcsecurity.autoconfigure;

import org.jspecify.annotations.NullMarked;
