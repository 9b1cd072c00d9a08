/**
 * Policy files as gRFC A43 has them, with the audit conditions of gRFC A59: JSON that is
 * written for grpc-go and C++ runs here unchanged.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.authorization.policy.FilePolicy}, which
 * the pipeline asks. {@code PolicyReader} says what a policy may contain,
 * {@code AuthorizationPolicy} decides, {@code PolicyFile} keeps what is in force.
 */
@NullMarked
package io.github.grpcsecurity.authorization.policy;

import org.jspecify.annotations.NullMarked;
