package io.github.grpcsecurity.authorization.opa;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Arrays;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

import org.springframework.core.io.Resource;

/**
 * A token that somebody else renews in a file. The content counts, never the time of the
 * file. While it cannot be read, the last token is used on. Thread-safe; may block.
 */
final class TokenFile {

	private static final Log logger = LogFactory.getLog(TokenFile.class);

	private static final int MAX_BYTES = 16 * 1024;

	private static final Duration INTERVAL = Duration.ofSeconds(1);

	private final Resource file;

	private final InstantSource clock;

	// Guarded by this
	private String token;

	// Guarded by this
	private Instant next;

	// Guarded by this
	private boolean failing;

	/**
	 * Reads the token for the first time.
	 * @param file the file
	 * @param clock tells when to look again
	 * @throws IllegalArgumentException if there is no token in it
	 */
	TokenFile(Resource file, InstantSource clock) {
		this.file = file;
		this.clock = clock;
		try {
			this.token = read(file);
		}
		catch (IOException ex) {
			throw new IllegalArgumentException(problem(ex), ex);
		}
		this.next = clock.instant().plus(INTERVAL);
	}

	private static String problem(IOException ex) {
		// A message of the file system may be no more than the name of the file
		return (ex instanceof Unusable) ? String.valueOf(ex.getMessage()) : "it cannot be read";
	}

	private static String read(Resource file) throws IOException {
		if (file.isFile() && !Files.isRegularFile(file.getFile().toPath())) {
			throw new Unusable("there is no file of this name");
		}
		byte[] bytes;
		try (InputStream in = file.getInputStream()) {
			bytes = in.readNBytes(MAX_BYTES + 1);
		}
		String content = new String(bytes, StandardCharsets.US_ASCII).strip();
		Arrays.fill(bytes, (byte) 0);
		if (content.isEmpty()) {
			throw new Unusable("it is empty");
		}
		if (bytes.length > MAX_BYTES || !content.chars().allMatch((c) -> c > ' ' && c < 0x7f)) {
			throw new Unusable("it holds more than one token");
		}
		return content;
	}

	/**
	 * The token as it stands in the file, as of a second ago at most.
	 * @return the token
	 */
	synchronized String token() {
		Instant now = this.clock.instant();
		if (now.isBefore(this.next)) {
			return this.token;
		}
		this.next = now.plus(INTERVAL);
		try {
			this.token = read(this.file);
			this.failing = false;
		}
		catch (IOException ex) {
			if (!this.failing) {
				this.failing = true;
				logger.warn("The token for OPA in " + this.file.getDescription() + " is used on: of the file, "
						+ problem(ex));
			}
		}
		return this.token;
	}

	/** Names the file, never what is in it. */
	@Override
	public String toString() {
		return this.file.getDescription();
	}

	/** The content is no token. */
	private static final class Unusable extends IOException {

		private static final long serialVersionUID = 1L;

		Unusable(String reason) {
			super(reason);
		}

	}

}
