/**
 * Takes the caller's identity along to wherever a handler goes on working: other threads,
 * tasks of Spring's executors, Kotlin coroutines and reactive streams.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.propagation.CallerContext}. On gRPC's
 * own threads, in the callbacks of a call, package {@code server} sees to it.
 */
@NullMarked
package io.github.grpcsecurity.propagation;

import org.jspecify.annotations.NullMarked;
