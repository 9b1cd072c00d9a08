package io.github.grpcsecurity.server;

import io.grpc.ServerBuilder;

/**
 * Applies what a feature sets on the server itself, such as TLS or limits of the
 * transport.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface ServerBuilderConfigurer {

	/**
	 * Configures a server that has not been built yet. An exception stops its start.
	 * @param builder a builder of any transport
	 */
	void configure(ServerBuilder<?> builder);

}
