package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;

/**
 * Settings for policy files.
 *
 * @param policyFile File with a gRPC authorization policy (gRFC A43), as a path, file: or
 * classpath: location. It has to allow a call, like everything else that has an opinion.
 * @param policyReloadInterval Time within which a changed policy file comes into force, 0
 * to never look at it again. As long as grpc.security.tls.reload-interval unless set.
 * Seconds are used if no unit is given.
 * @param shadowPolicyFile File with a candidate policy that is asked about each call but
 * never refuses one, as a path, file: or classpath: location.
 * @param reevaluateStreams Whether open calls end that a changed policy denies.
 * @since 0.1.0
 */
@ConfigurationProperties("grpc.security.authorization")
public record GrpcPolicyProperties(@Nullable String policyFile,
		@DurationUnit(ChronoUnit.SECONDS) @Nullable Duration policyReloadInterval, @Nullable String shadowPolicyFile,
		@DefaultValue("true") boolean reevaluateStreams) {

	public GrpcPolicyProperties {
		policyFile = OnSetPropertyCondition.valueOf(policyFile);
		shadowPolicyFile = OnSetPropertyCondition.valueOf(shadowPolicyFile);
	}

}
