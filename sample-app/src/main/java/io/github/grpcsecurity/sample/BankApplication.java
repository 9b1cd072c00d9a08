package io.github.grpcsecurity.sample;

import java.util.HashMap;
import java.util.Map;

import org.springframework.beans.factory.support.DefaultListableBeanFactory;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.context.properties.ConfigurationPropertiesScan;
import org.springframework.context.ConfigurableApplicationContext;

/**
 * Starts the bank, with a Redis of its own for the limits if this machine can run one.
 */
@SpringBootApplication
@ConfigurationPropertiesScan
public class BankApplication {

	public static void main(String[] args) {
		run(args);
	}

	static ConfigurableApplicationContext run(String... args) {
		SpringApplication application = new SpringApplication(BankApplication.class);
		SampleRedis redis = SampleRedis.start();
		Map<String, Object> defaults = new HashMap<>();
		redis.contributeTo(defaults);
		application.setDefaultProperties(defaults);
		application.addInitializers((context) -> {
			context.getBeanFactory().registerSingleton("sampleRedis", redis);
			if (context.getBeanFactory() instanceof DefaultListableBeanFactory beans) {
				// Before all others, and so closed after them
				beans.registerDisposableBean("sampleRedis", redis::close);
			}
		});
		try {
			return application.run(args);
		}
		catch (RuntimeException ex) {
			redis.close();
			throw ex;
		}
	}

}
