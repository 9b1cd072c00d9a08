/**
 * Shares revocations between servers in Redis. The only package of this feature that sees
 * Redis.
 */
@NullMarked
package io.github.grpcsecurity.authentication.revocation.redis;

import org.jspecify.annotations.NullMarked;
