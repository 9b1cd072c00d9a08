package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.server.GrpcServerSecurity;

/**
 * Changes how the security of gRPC servers is put together. Beans of this type are called
 * in their order after everything else has been set.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface GrpcServerSecurityCustomizer {

	/**
	 * Customizes the security of all gRPC servers of the application.
	 * @param builder the builder, with all stages and observers in it
	 */
	void customize(GrpcServerSecurity.Builder builder);

}
