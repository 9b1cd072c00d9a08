/**
 * Secures the server of {@code net.devh:grpc-server-spring-boot-starter}: finds its
 * services and hands its builders to
 * {@link io.github.grpcsecurity.server.GrpcServerSecurity}.
 */
@NullMarked
package io.github.grpcsecurity.autoconfigure.devh;

import org.jspecify.annotations.NullMarked;
