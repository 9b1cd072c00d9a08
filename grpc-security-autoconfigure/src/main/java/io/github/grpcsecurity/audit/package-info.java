/**
 * Who called what, what was decided about it and how it ended, for auditors.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.audit.AuditLog}, which turns calls into
 * records and hands them to every {@link io.github.grpcsecurity.audit.AuditSink}.
 */
@NullMarked
package io.github.grpcsecurity.audit;

import org.jspecify.annotations.NullMarked;
