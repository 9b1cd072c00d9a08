/**
 * Asks an Open Policy Agent about calls, with the question that its plugin for Envoy
 * would ask.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.authorization.opa.OpaPolicy}.
 * {@code OpaInput} is the question, {@code OpaAnswer} the answer, and {@code OpaClient}
 * brings one to the other.
 */
@NullMarked
package io.github.grpcsecurity.authorization.opa;

import org.jspecify.annotations.NullMarked;
