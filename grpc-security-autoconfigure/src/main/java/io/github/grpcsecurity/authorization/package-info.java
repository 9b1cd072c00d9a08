/**
 * Who may call what: rules from the settings and the annotations on service methods,
 * enforced by the pipeline in front of the handler.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.authorization.AuthorizationStage}.
 * {@code JavaMethod} finds the method behind an RPC, {@code MethodAnnotations} reads what
 * is written on it.
 */
@NullMarked
package io.github.grpcsecurity.authorization;

import org.jspecify.annotations.NullMarked;
