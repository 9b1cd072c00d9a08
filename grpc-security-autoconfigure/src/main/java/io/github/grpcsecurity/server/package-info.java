/**
 * The pipeline that every gRPC call passes through, whatever the features that hang in
 * it.
 * <p>
 * Start reading at {@link io.github.grpcsecurity.server.GrpcServerSecurity}, which
 * installs everything on a {@link io.grpc.ServerBuilder};
 * {@link io.github.grpcsecurity.server.SecurityStage} shows the order of the stages.
 */
@NullMarked
package io.github.grpcsecurity.server;

import org.jspecify.annotations.NullMarked;
