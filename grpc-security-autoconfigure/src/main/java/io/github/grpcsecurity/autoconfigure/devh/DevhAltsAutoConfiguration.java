package io.github.grpcsecurity.autoconfigure.devh;

import java.util.List;

import io.github.grpcsecurity.autoconfigure.GrpcTransportAutoConfiguration;
import io.github.grpcsecurity.tls.AltsTransport;
import io.github.grpcsecurity.tls.TransportConfigurer;
import io.grpc.alts.AltsServerCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import net.devh.boot.grpc.server.condition.ConditionalOnInterprocessServer;
import net.devh.boot.grpc.server.config.GrpcServerProperties;
import net.devh.boot.grpc.server.serverfactory.GrpcServerConfigurer;
import net.devh.boot.grpc.server.serverfactory.GrpcServerFactory;
import net.devh.boot.grpc.server.serverfactory.GrpcServerLifecycle;
import net.devh.boot.grpc.server.serverfactory.InProcessGrpcServerFactory;
import net.devh.boot.grpc.server.serverfactory.ShadedNettyGrpcServerFactory;
import net.devh.boot.grpc.server.service.GrpcServiceDiscoverer;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.context.ApplicationEventPublisher;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Conditional;

/**
 * Auto-configuration for servers of {@code net.devh} that speak ALTS. Stands in for all
 * that the server's own auto-configuration does about its factories, since that steps
 * aside as a whole.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcTransportAutoConfiguration.class,
		afterName = "net.devh.boot.grpc.server.autoconfigure.GrpcServerAutoConfiguration",
		beforeName = "net.devh.boot.grpc.server.autoconfigure.GrpcServerFactoryAutoConfiguration")
@ConditionalOnClass({ GrpcServerFactory.class, AltsServerCredentials.class, NettyServerBuilder.class })
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnProperty(name = "grpc.security.transport", havingValue = "alts")
@ConditionalOnMissingBean({ GrpcServerFactory.class, GrpcServerLifecycle.class })
public final class DevhAltsAutoConfiguration {

	// The configurer first: it knows best why ALTS cannot be
	@Bean
	@Conditional(ConditionalOnInterprocessServer.class)
	ShadedNettyGrpcServerFactory grpcAltsServerFactory(TransportConfigurer configurer, GrpcServerProperties properties,
			GrpcServiceDiscoverer discoverer, List<GrpcServerConfigurer> configurers, AltsTransport transport) {
		ShadedNettyGrpcServerFactory factory = new AltsGrpcServerFactory(properties, configurers, transport);
		discoverer.findGrpcServices().forEach(factory::addService);
		return factory;
	}

	@Bean
	@Conditional(ConditionalOnInterprocessServer.class)
	GrpcServerLifecycle grpcAltsServerLifecycle(ShadedNettyGrpcServerFactory factory, GrpcServerProperties properties,
			ApplicationEventPublisher events) {
		return new GrpcServerLifecycle(factory, properties.getShutdownGracePeriod(), events);
	}

	@Bean
	@ConditionalOnProperty("grpc.server.in-process-name")
	InProcessGrpcServerFactory grpcAltsInProcessServerFactory(GrpcServerProperties properties,
			GrpcServiceDiscoverer discoverer, List<GrpcServerConfigurer> configurers) {
		InProcessGrpcServerFactory factory = new InProcessGrpcServerFactory(properties, configurers);
		discoverer.findGrpcServices().forEach(factory::addService);
		return factory;
	}

	@Bean
	@ConditionalOnProperty("grpc.server.in-process-name")
	GrpcServerLifecycle grpcAltsInProcessServerLifecycle(InProcessGrpcServerFactory factory,
			GrpcServerProperties properties, ApplicationEventPublisher events) {
		return new GrpcServerLifecycle(factory, properties.getShutdownGracePeriod(), events);
	}

}
