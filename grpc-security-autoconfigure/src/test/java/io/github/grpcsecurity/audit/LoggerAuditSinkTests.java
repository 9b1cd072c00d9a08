package io.github.grpcsecurity.audit;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.joran.JoranConfigurator;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.util.LogbackMDCAdapter;
import ch.qos.logback.core.read.ListAppender;
import io.github.grpcsecurity.audit.GrpcAuditRecord.Kind;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

import org.springframework.core.io.ClassPathResource;

import static org.assertj.core.api.Assertions.assertThat;

class LoggerAuditSinkTests {

	private static final GrpcAuditRecord RECORD = GrpcAuditRecord
		.builder(Kind.DECISION, "id1", Instant.EPOCH, "authz_fail")
		.with("rpc.method", "100% {} \n%msg")
		.build();

	private final Logger logger = (Logger) LoggerFactory.getLogger(LoggerAuditSink.LOGGER_NAME);

	private final ListAppender<ILoggingEvent> appender = new ListAppender<>();

	@BeforeEach
	void attach() {
		this.appender.start();
		this.logger.addAppender(this.appender);
	}

	@AfterEach
	void detach() {
		this.logger.detachAppender(this.appender);
		this.logger.setLevel(null);
	}

	@Test
	void writeThenLineIsTheMessageAtInfo() {
		new LoggerAuditSink().write(RECORD);

		assertThat(this.appender.list).singleElement().satisfies((event) -> {
			assertThat(event.getLevel()).isEqualTo(Level.INFO);
			assertThat(event.getFormattedMessage()).isEqualTo(RECORD.toJson());
		});
	}

	@Test
	void writeWhenLoggerIsOffThenNothing() {
		this.logger.setLevel(Level.WARN);

		new LoggerAuditSink().write(RECORD);

		assertThat(this.appender.list).isEmpty();
	}

	@Test
	void documentedConfigurationIsTheTestedOne() throws Exception {
		String page = Files.readString(Path.of("../docs/audit.md"));
		String tested = new ClassPathResource("audit/logback-spring.xml").getContentAsString(StandardCharsets.UTF_8);

		assertThat(tested.lines().filter((line) -> line.startsWith("\t")).map((line) -> line.substring(1)))
			.isSubsetOf(page.lines().toList());
	}

	@Test
	void writeWhenConfiguredAsDocumentedThenFileHoldsJsonLinesOnly(@TempDir Path directory) throws Exception {
		LoggerContext context = new LoggerContext();
		context.setMDCAdapter(new LogbackMDCAdapter());
		context.putProperty("AUDIT_DIRECTORY", directory.toString());
		JoranConfigurator configurator = new JoranConfigurator();
		configurator.setContext(context);
		configurator.doConfigure(new ClassPathResource("audit/logback-spring.xml").getURL());
		context.getLogger(LoggerAuditSink.LOGGER_NAME).info(RECORD.toJson());
		context.getLogger(LoggerAuditSink.LOGGER_NAME).info(RECORD.toJson());
		context.stop();

		assertThat(Files.readAllLines(directory.resolve("audit.jsonl"))).containsExactly(RECORD.toJson(),
				RECORD.toJson());
	}

}
