/**
 * Keeps the state of rate limits in Redis, where several servers share it. The only
 * package of this feature that sees Redis.
 */
@NullMarked
package io.github.grpcsecurity.ratelimit.redis;

import org.jspecify.annotations.NullMarked;
