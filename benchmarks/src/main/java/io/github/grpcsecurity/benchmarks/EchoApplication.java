package io.github.grpcsecurity.benchmarks;

import java.util.concurrent.Executor;

import net.devh.boot.grpc.server.serverfactory.GrpcServerConfigurer;

import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.context.annotation.Bean;

/** A server that does nothing but what it takes to be called. */
@SpringBootConfiguration
@EnableAutoConfiguration
public class EchoApplication {

	@Bean
	GrpcServerConfigurer callsRunOnTheThreadOfTheirClient() {
		return (builder) -> builder.executor((Executor) Runnable::run);
	}

}
