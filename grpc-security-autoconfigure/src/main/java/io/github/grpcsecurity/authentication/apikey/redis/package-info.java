/**
 * Keeps the API keys in this server's memory that several servers share in Redis.
 */
@NullMarked
package io.github.grpcsecurity.authentication.apikey.redis;

import org.jspecify.annotations.NullMarked;
