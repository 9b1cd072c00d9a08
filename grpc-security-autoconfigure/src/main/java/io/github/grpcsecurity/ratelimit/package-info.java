/**
 * Limits how often a peer or a principal may call.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.ratelimit.RateLimitRule}, what a user
 * asks for, and {@link io.github.grpcsecurity.ratelimit.Gcra}, the arithmetic behind it.
 * {@link io.github.grpcsecurity.ratelimit.PeerLimitStage} and
 * {@link io.github.grpcsecurity.ratelimit.PrincipalLimitStage} apply the rules to calls,
 * {@link io.github.grpcsecurity.ratelimit.MessageLimitStage} to the messages of calls.
 * {@link io.github.grpcsecurity.ratelimit.ConcurrencyStage} limits the calls in flight.
 */
@NullMarked
package io.github.grpcsecurity.ratelimit;

import org.jspecify.annotations.NullMarked;
