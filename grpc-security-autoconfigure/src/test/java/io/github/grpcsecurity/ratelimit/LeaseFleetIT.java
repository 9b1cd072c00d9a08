package io.github.grpcsecurity.ratelimit;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestRedisCluster;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;

import static org.assertj.core.api.Assertions.assertThat;

/** Eight limiters in three processes share one limit, which ten times as many want. */
@Tag("alone")
class LeaseFleetIT {

	private static final int LIMIT = 1000;

	private static final String[] EQUAL = { "1250 1250 1250", "1250 1250 1250", "1250 1250" };

	private static final String[] UNEQUAL = { "6000 500 20", "1000 1000 1000", "470 10" };

	@Test
	void fleetWhenDemandIsUnequalThenLimitIsExactAndUsed() throws Exception {
		Sum sum = run(5, UNEQUAL);
		check(sum, 5);
		// Who wants little gets more of it than who wants much
		assertThat(sum.shares.get(2)).isGreaterThan(2 * sum.shares.get(0));
	}

	@Test
	void fleetWhenRedisIsAClusterThenLimitIsExactAndUsed() throws Exception {
		try (TestRedisCluster cluster = TestRedisCluster.start()) {
			check(run(cluster.addresses(), 5, EQUAL), 5);
		}
	}

	@Test
	@EnabledIfSystemProperty(named = "tests.slow", matches = "true")
	void fleetWhenAClusterIsUsedForHalfAMinuteThenLimitIsExactAndUsed() throws Exception {
		try (TestRedisCluster cluster = TestRedisCluster.start()) {
			check(run(cluster.addresses(), 30, UNEQUAL), 30);
		}
	}

	@Test
	@EnabledIfSystemProperty(named = "tests.slow", matches = "true")
	void fleetWhenItRunsForHalfAMinuteThenLimitIsExactAndUsed() throws Exception {
		check(run(30, EQUAL), 30);
		check(run(30, UNEQUAL), 30);
	}

	private static void check(Sum sum, int seconds) {
		System.out.println("fleet: " + sum);
		long most = (long) (LIMIT * sum.seconds) + LIMIT;
		assertThat(sum.failures).isZero();
		// Three processes on two cores do not always answer within the 20 ms
		assertThat(sum.fallbacks).isLessThan(sum.decisions / 5);
		assertThat(sum.decisions).isGreaterThan(9L * LIMIT * seconds);
		// What is measured includes the time that the processes take to report
		assertThat(sum.admitted).isLessThanOrEqualTo(most).isGreaterThanOrEqualTo((seconds + 1L) * LIMIT * 95 / 100);
		assertThat(sum.operations * 50).isLessThanOrEqualTo(sum.decisions);
		// Nobody goes without
		double even = (double) sum.admitted / sum.decisions;
		assertThat(sum.shares).allMatch((share) -> share > even / 3);
	}

	private static Sum run(int seconds, String[] demands) throws Exception {
		try (TestRedis redis = TestRedis.start()) {
			return run("127.0.0.1:" + redis.port(), seconds, demands);
		}
	}

	static Sum run(String nodes, int seconds, String[] demands) throws Exception {
		List<Process> processes = new ArrayList<>();
		try {
			for (String demand : demands) {
				List<String> command = new ArrayList<>(List.of(
						Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx128m",
						"-XX:+UseSerialGC", "-cp", System.getProperty("java.class.path"), LeaseWorker.class.getName(),
						nodes, Integer.toString(LIMIT), Integer.toString(seconds)));
				command.addAll(Arrays.asList(demand.split(" ")));
				processes.add(new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD)
					.directory(new File(System.getProperty("java.io.tmpdir")))
					.start());
			}
			List<BufferedReader> outputs = new ArrayList<>();
			for (Process process : processes) {
				outputs
					.add(new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8)));
				line(outputs.get(outputs.size() - 1), "ready");
			}
			long start = System.nanoTime();
			for (Process process : processes) {
				go(process);
			}
			Sum sum = new Sum();
			for (BufferedReader output : outputs) {
				sum.add(line(output, ""));
			}
			sum.seconds = (System.nanoTime() - start) / 1e9;
			return sum;
		}
		finally {
			processes.forEach(Process::destroyForcibly);
		}
	}

	private static void go(Process process) throws IOException {
		OutputStream input = process.getOutputStream();
		input.write('\n');
		input.flush();
	}

	private static String line(BufferedReader output, String start) throws IOException {
		String line;
		while ((line = output.readLine()) != null) {
			if (line.startsWith(start)) {
				return line;
			}
		}
		throw new IllegalStateException("A process of the fleet ended");
	}

	static final class Sum {

		long decisions;

		long admitted;

		long fallbacks;

		long failures;

		long operations;

		double seconds;

		/** Of each process, which part of what it asked for was admitted. */
		final List<Double> shares = new ArrayList<>();

		private String lines = "";

		void add(String line) {
			String[] numbers = line.split(" ");
			this.decisions += Long.parseLong(numbers[0]);
			this.admitted += Long.parseLong(numbers[1]);
			this.fallbacks += Long.parseLong(numbers[2]);
			this.failures += Long.parseLong(numbers[3]);
			this.operations += Long.parseLong(numbers[4]);
			this.shares.add(Double.parseDouble(numbers[1]) / Double.parseDouble(numbers[0]));
			this.lines += " [" + line + "]";
		}

		@Override
		public String toString() {
			return this.decisions + " decisions, " + this.admitted + " admitted in " + this.seconds + " s, "
					+ this.fallbacks + " fallbacks, " + this.operations + " operations;" + this.lines;
		}

	}

}
