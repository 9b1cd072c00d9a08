/**
 * Clients behind proxies and service meshes: whom a trusted proxy speaks for, and the
 * headers that nobody else may send. Start reading at
 * {@link io.github.grpcsecurity.proxy.ProxyHeaders}.
 */
@NullMarked
package io.github.grpcsecurity.proxy;

import org.jspecify.annotations.NullMarked;
