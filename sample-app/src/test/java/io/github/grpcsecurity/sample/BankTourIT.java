package io.github.grpcsecurity.sample;

import java.nio.file.Path;
import java.util.List;

import io.github.grpcsecurity.sample.tour.Tour;
import io.github.grpcsecurity.sample.tour.TourGuide;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.context.ConfigurableApplicationContext;

import static org.assertj.core.api.Assertions.assertThat;

/** The sample as the README starts it, on a port of its own. */
class BankTourIT {

	@TempDir
	private Path directory;

	@Test
	void tourWhenBankIsOpenThenEveryCallGoesAsExpected() {
		try (ConfigurableApplicationContext context = BankApplication.run("--grpc.server.port=0",
				"--grpc.security.dev.directory=" + this.directory)) {
			List<Tour.Row> rows = context.getBean(TourGuide.class).rows();

			assertThat(rows).hasSizeGreaterThanOrEqualTo(20)
				.allSatisfy((row) -> assertThat(row.got()).as("%s, %s", row.call(), row.credentials())
					.isEqualTo(row.expected()));
			assertThat(context.getBean(TourGuide.class).getExitCode()).isZero();
			assertThat(context.getBean(SampleRedis.class).running()).isTrue();
		}
	}

}
