package io.github.grpcsecurity.dev;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.time.InstantSource;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;

/**
 * The directory with throw-away credentials for development: what is in it, and what
 * tokens signed with its key must say. Whoever can read it can call the server.
 *
 * @since 0.1.0
 */
public final class DevDirectory {

	private static final Log logger = LogFactory.getLog(DevDirectory.class);

	private static final String PROPERTY = "grpc.security.dev.directory";

	private static final Set<PosixFilePermission> OWNER = EnumSet.of(PosixFilePermission.OWNER_READ,
			PosixFilePermission.OWNER_WRITE);

	private static final Set<PosixFilePermission> EVERYBODY = EnumSet.of(PosixFilePermission.OWNER_READ,
			PosixFilePermission.OWNER_WRITE, PosixFilePermission.GROUP_READ, PosixFilePermission.OTHERS_READ);

	private final Path directory;

	private final boolean reused;

	private final Instant expiresAt;

	private DevDirectory(Path directory, boolean reused, Instant expiresAt) {
		this.directory = directory;
		this.reused = reused;
		this.expiresAt = expiresAt;
	}

	/**
	 * Makes everything that a developer needs, or takes what is there if it is complete
	 * and valid for another day: clients go on working when the server restarts.
	 * @param directory where to put the files; made if it is missing
	 * @param clock tells whether certificates are valid
	 * @return the directory
	 * @throws InvalidConfigurationPropertyValueException if others could change the files
	 */
	public static DevDirectory prepare(Path directory, InstantSource clock) {
		try {
			return prepareExclusively(directory.toAbsolutePath().normalize(), clock);
		}
		catch (IOException ex) {
			throw refused(directory, "nothing can be written there (" + ex.getClass().getSimpleName() + ": "
					+ ex.getMessage() + "). Name a directory that the server may write to");
		}
	}

	// A lock on a file keeps other processes out, but not other threads of this one
	private static synchronized DevDirectory prepareExclusively(Path directory, InstantSource clock)
			throws IOException {
		create(directory);
		Path first = directory.resolve(DevFiles.CA_CERTIFICATE);
		createFile(first);
		try (FileChannel channel = FileChannel.open(first, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
			// Given back when the channel is closed
			channel.lock();
			Instant now = clock.instant();
			// Only through this channel: closing another one would give the lock back
			String ca = new String(Channels.newInputStream(channel).readAllBytes(), StandardCharsets.ISO_8859_1);
			DevFiles files = DevFiles.read(directory, ca);
			boolean reused = files != null && files.isUsable(now);
			if (files == null || !reused) {
				checkOverwritable(directory, ca);
				files = DevFiles.generate(now);
				write(directory, files.contents(), channel);
			}
			restrict(directory);
			return new DevDirectory(directory, reused, files.expiresAt());
		}
	}

	// Somebody's real keys may have the same names
	private static void checkOverwritable(Path directory, String ca) throws IOException {
		String foreign = DevFiles.findForeign(directory, ca);
		if (foreign != null) {
			if (ca.isEmpty()) {
				Files.delete(directory.resolve(DevFiles.CA_CERTIFICATE));
			}
			throw refused(directory, foreign + " in it was not made by development mode and would be overwritten. "
					+ "Name a directory that is used for nothing else");
		}
	}

	private static void create(Path directory) throws IOException {
		if (!Files.exists(directory, LinkOption.NOFOLLOW_LINKS)) {
			Path parent = directory.getParent();
			if (parent != null) {
				Files.createDirectories(parent);
			}
			try {
				Files.createDirectory(directory, attributes(directory, "rwx------"));
			}
			catch (FileAlreadyExistsException ex) {
				logger.debug("Another process has made " + directory);
			}
		}
		if (!Files.isDirectory(directory, LinkOption.NOFOLLOW_LINKS)) {
			throw refused(directory, "it is no directory, or a link. Name a directory");
		}
		if (!isPosix(directory)) {
			return;
		}
		if (!Files.getOwner(directory, LinkOption.NOFOLLOW_LINKS).getName().equals(currentUser())) {
			throw refused(directory,
					"it belongs to another user, who could change the files. Name a directory of your own");
		}
		Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(directory);
		if (permissions.contains(PosixFilePermission.GROUP_WRITE)
				|| permissions.contains(PosixFilePermission.OTHERS_WRITE)) {
			throw refused(directory, "other users can write to it and could change the files. Take the permission "
					+ "away (chmod go-w), or name another directory");
		}
	}

	// Asks the file system rather than user.name, which anybody may set
	private static String currentUser() throws IOException {
		Path probe = Files.createTempFile("grpc-security", null);
		try {
			return Files.getOwner(probe).getName();
		}
		finally {
			Files.delete(probe);
		}
	}

	private static void createFile(Path file) throws IOException {
		try {
			Files.createFile(file, attributes(file, "rw-------"));
		}
		catch (FileAlreadyExistsException ex) {
			if (Files.isSymbolicLink(file)) {
				throw new IOException(file + " is a link", ex);
			}
		}
	}

	private static void write(Path directory, Map<String, String> contents, FileChannel first) throws IOException {
		for (Map.Entry<String, String> content : contents.entrySet()) {
			byte[] bytes = content.getValue().getBytes(StandardCharsets.US_ASCII);
			if (content.getKey().equals(DevFiles.CA_CERTIFICATE)) {
				first.truncate(0);
				first.write(ByteBuffer.wrap(bytes), 0);
			}
			else {
				Path file = directory.resolve(content.getKey());
				Files.deleteIfExists(file);
				createFile(file);
				Files.write(file, bytes);
			}
		}
	}

	private static void restrict(Path directory) throws IOException {
		if (!isPosix(directory)) {
			return;
		}
		for (String name : DevFiles.NAMES) {
			Files.setPosixFilePermissions(directory.resolve(name), DevFiles.isPrivate(name) ? OWNER : EVERYBODY);
		}
	}

	private static FileAttribute<?>[] attributes(Path path, String permissions) {
		return isPosix(path)
				? new FileAttribute<?>[] {
						PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions)) }
				: new FileAttribute<?>[0];
	}

	private static boolean isPosix(Path path) {
		return path.getFileSystem().supportedFileAttributeViews().contains("posix");
	}

	private static InvalidConfigurationPropertyValueException refused(Path directory, String reason) {
		return new InvalidConfigurationPropertyValueException(PROPERTY, directory, reason);
	}

	/**
	 * The directory itself.
	 * @return an absolute path
	 */
	public Path path() {
		return this.directory;
	}

	/**
	 * Certificate of the authority that issued the other ones.
	 * @return a PEM file
	 */
	public Path caCertificate() {
		return this.directory.resolve(DevFiles.CA_CERTIFICATE);
	}

	/**
	 * Certificate of the server, for localhost, 127.0.0.1 and ::1.
	 * @return a PEM file
	 */
	public Path serverCertificate() {
		return this.directory.resolve(DevFiles.SERVER_CERTIFICATE);
	}

	/**
	 * Private key of the server.
	 * @return a PEM file
	 */
	public Path serverKey() {
		return this.directory.resolve(DevFiles.SERVER_KEY);
	}

	/**
	 * Certificate for a client, with the name {@code spiffe://dev/client}.
	 * @return a PEM file
	 */
	public Path clientCertificate() {
		return this.directory.resolve(DevFiles.CLIENT_CERTIFICATE);
	}

	/**
	 * Private key of the client.
	 * @return a PEM file
	 */
	public Path clientKey() {
		return this.directory.resolve(DevFiles.CLIENT_KEY);
	}

	/**
	 * Private key that signs tokens, with RS256.
	 * @return a PEM file
	 */
	public Path jwtKey() {
		return this.directory.resolve(DevFiles.JWT_KEY);
	}

	/**
	 * Public half of the key that signs tokens.
	 * @return a file with a JWK set
	 */
	public Path jwkSet() {
		return this.directory.resolve(DevFiles.JWK_SET);
	}

	/**
	 * What tokens have to name as their issuer.
	 * @return the value of {@code iss}
	 */
	public String issuer() {
		return "https://dev.grpc-security.local";
	}

	/**
	 * What tokens have to name as their audience.
	 * @return the value of {@code aud}
	 */
	public String audience() {
		return "dev";
	}

	/**
	 * Until when the certificates are valid.
	 * @return when the first of them expires
	 */
	public Instant expiresAt() {
		return this.expiresAt;
	}

	/**
	 * What a developer has to know about this, loud enough not to be overlooked.
	 * @return several lines
	 */
	public String banner() {
		String line = "*".repeat(78);
		return String.join(System.lineSeparator(),
				List.of("", line, "DEVELOPMENT MODE (grpc.security.dev.enabled): never use this in production.",
						(this.reused ? "Uses throw-away credentials that were made before, in "
								: "Has made throw-away credentials in ") + this.directory + ":",
						"  ca.pem                        certificate authority, for clients to trust",
						"  server.pem, server-key.pem    certificate of this server, for localhost",
						"  client.pem, client-key.pem    certificate for clients, named spiffe://dev/client",
						"  jwt-key.pem, jwks.json        key that signs tokens (RS256, iss " + issuer() + ", aud "
								+ audience() + ")",
						"Whoever can read them on this machine can call this server, as anybody.",
						"They expire at " + this.expiresAt + ". Delete the directory to have new ones.", line));
	}

}
