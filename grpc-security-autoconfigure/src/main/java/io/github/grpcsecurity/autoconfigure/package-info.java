/**
 * Wires the features together from {@code grpc.security.*} properties; decides nothing.
 * <p>
 * Start reading at
 * {@link io.github.grpcsecurity.autoconfigure.GrpcSecurityAutoConfiguration}.
 */
@NullMarked
package io.github.grpcsecurity.autoconfigure;

import org.jspecify.annotations.NullMarked;
