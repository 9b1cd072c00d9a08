package io.github.grpcsecurity.autoconfigure;

import java.util.Set;

import io.grpc.Status;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings for what callers get to know about errors.
 *
 * @param exposeDescriptions Status codes whose description and trailers reach the caller
 * as the handler set them. Those of other codes stay inside the server.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.errors", ignoreUnknownFields = false)
public record GrpcErrorsProperties(@DefaultValue( {
		"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "OUT_OF_RANGE",
		"ABORTED" }) Set<Status.Code> exposeDescriptions){

}
