/**
 * Conditions of rules in the Common Expression Language. Start reading at
 * {@link io.github.grpcsecurity.authorization.cel.CelConditionCompiler}; this is the only
 * package that sees CEL.
 */
@NullMarked
package io.github.grpcsecurity.authorization.cel;

import org.jspecify.annotations.NullMarked;
