package io.github.grpcsecurity.server;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

import org.apache.commons.logging.Log;
import org.junit.jupiter.api.Test;

import static org.mockito.ArgumentMatchers.any;
import static org.mockito.ArgumentMatchers.contains;
import static org.mockito.Mockito.mock;
import static org.mockito.Mockito.times;
import static org.mockito.Mockito.verify;

class FailureLogTests {

	@Test
	void logWhenFailuresFloodThenOneLineEveryTenSecondsAndACount() {
		Log log = mock();
		AtomicLong now = new AtomicLong();
		FailureLog failures = new FailureLog(log, now::get);
		RuntimeException failure = new IllegalStateException("test");

		for (int i = 0; i < 1000; i++) {
			failures.log("failed", failure);
		}
		verify(log, times(1)).error(any(), any());
		verify(log, times(999)).debug(any(), any());
		now.addAndGet(TimeUnit.SECONDS.toNanos(10));
		failures.log("failed again", failure);

		verify(log).error(contains("failed again (999 more"), any());
	}

}
