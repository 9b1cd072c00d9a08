package io.github.grpcsecurity.tls;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.cert.CRLException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CopyOnWriteArrayList;

import javax.security.auth.x500.X500Principal;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Certificate revocation lists from files and directories, read again when their content
 * changes, as gRFC A69 says: if everything could be read, what is in force is what is
 * there; if anything could not, lists are added and replaced but none is dropped.
 * <p>
 * That a list is older than its {@code nextUpdate} does not put it out of force, unless
 * there is an end to its grace: then it says of nobody any more that it is not revoked.
 * Thread-safe.
 *
 * @since 0.1.0
 */
public final class CertificateRevocationLists {

	private static final Log logger = LogFactory.getLog(CertificateRevocationLists.class);

	private static final String BEGIN = "-----BEGIN X509 CRL-----";

	private static final String END = "-----END X509 CRL-----";

	private static final int CRL_SIGN = 6;

	private static final long MAX_BYTES = 256L * 1024 * 1024;

	private final List<Path> locations;

	private final InstantSource clock;

	private final @Nullable Duration grace;

	private final List<Runnable> listeners = new CopyOnWriteArrayList<>();

	// Guarded by this
	private Map<Path, CrlFile> files = Map.of();

	// Guarded by this
	private Set<Path> missing = Set.of();

	// Guarded by this
	private final Map<Path, BadFile> badFiles = new HashMap<>();

	// Guarded by this
	private Set<String> problems = Set.of();

	// Guarded by this
	private final Set<RevocationList> outdated = new HashSet<>();

	// Guarded by this
	private final Set<RevocationList> overdue = new HashSet<>();

	// Guarded by this
	private List<X509Certificate> issuers = List.of();

	private volatile Map<X500Principal, List<RevocationList>> byIssuer = Map.of();

	/**
	 * Reads all lists for the first time. What cannot be read is logged: with its
	 * certificates undetermined, it does not keep the server from starting.
	 * @param locations files and directories; the files of a directory are lists, each in
	 * PEM or DER, except for those whose name starts with a dot
	 * @param clock tells whether lists are outdated
	 */
	public CertificateRevocationLists(Collection<Path> locations, InstantSource clock) {
		this(locations, clock, null);
	}

	/**
	 * Reads all lists for the first time, and believes them for a time only.
	 * @param locations files and directories; the files of a directory are lists, each in
	 * PEM or DER, except for those whose name starts with a dot
	 * @param clock tells whether lists are outdated
	 * @param grace how long after its {@code nextUpdate} a list stays in force; for ever
	 * if {@code null}. What it names stays revoked.
	 */
	public CertificateRevocationLists(Collection<Path> locations, InstantSource clock, @Nullable Duration grace) {
		this.locations = List.copyOf(locations);
		this.clock = clock;
		this.grace = grace;
		reload();
	}

	/**
	 * Looks at all files and takes into use what has changed. Reads files: not for
	 * threads that carry calls.
	 * @return whether everything could be read
	 */
	public boolean reload() {
		Pass pass = read();
		if (pass.changed()) {
			this.listeners.forEach(Runnable::run);
		}
		return pass.complete();
	}

	void onChange(Runnable listener) {
		this.listeners.add(listener);
	}

	/**
	 * Looks for the signers of lists among these. A list whose signer is known needs less
	 * memory, and no call or handshake waits until its signature has been verified.
	 */
	synchronized void issuers(Collection<X509Certificate> issuers) {
		this.issuers = List.copyOf(issuers);
		this.files.values().forEach(this::findSigners);
	}

	/** What the lists say about a certificate that was issued by another one. */
	RevocationStatus status(X509Certificate certificate, X509Certificate issuer) {
		List<RevocationList> candidates = this.byIssuer.get(certificate.getIssuerX500Principal());
		boolean[] usage = issuer.getKeyUsage();
		if (candidates == null || (usage != null && !usage[CRL_SIGN])) {
			return RevocationStatus.UNDETERMINED;
		}
		RevocationStatus status = RevocationStatus.UNDETERMINED;
		Instant newest = Instant.MIN;
		for (RevocationList list : candidates) {
			// Authorities can share a name, but not a key
			if (list.thisUpdate().isBefore(newest) || !list.signedBy(issuer.getPublicKey())) {
				continue;
			}
			boolean same = list.thisUpdate().equals(newest);
			if (list.revokes(certificate.getSerialNumber())) {
				status = RevocationStatus.REVOKED;
			}
			else if (!same) {
				status = isOverdue(list) ? RevocationStatus.UNDETERMINED : RevocationStatus.UNREVOKED;
			}
			newest = list.thisUpdate();
		}
		return status;
	}

	private boolean isOverdue(RevocationList list) {
		Instant next = list.nextUpdate();
		return this.grace != null && next != null && this.clock.instant().isAfter(next.plus(this.grace));
	}

	private synchronized Pass read() {
		Map<Path, CrlFile> found = new LinkedHashMap<>();
		Set<String> newProblems = new TreeSet<>();
		for (Path location : this.locations) {
			read(location, found, newProblems);
		}
		keepMissing(found, newProblems.isEmpty());
		if (newProblems.isEmpty()) {
			this.badFiles.clear();
		}
		boolean changed = !found.equals(this.files);
		if (changed) {
			this.files = found;
			this.byIssuer = index(found.values());
			logger.info("Certificate revocation lists in force: " + describe());
		}
		report(newProblems);
		// Time alone can put a list out of force
		changed |= reportOutdated();
		return new Pass(changed, newProblems.isEmpty());
	}

	/**
	 * Nothing is dropped until everything can be read. And whoever replaces a file may
	 * delete it first: what it names must not count as good until the next look because
	 * of that, so it is gone if it is missing twice.
	 */
	private void keepMissing(Map<Path, CrlFile> found, boolean complete) {
		Set<Path> missingBefore = this.missing;
		Set<Path> missingNow = new HashSet<>(this.files.keySet());
		missingNow.removeAll(found.keySet());
		this.missing = missingNow;
		this.files.forEach((path, file) -> {
			if (!complete || !missingBefore.contains(path)) {
				found.putIfAbsent(path, file);
			}
		});
	}

	private void read(Path location, Map<Path, CrlFile> found, Set<String> newProblems) {
		if (!Files.isDirectory(location)) {
			readFile(location, found, newProblems);
			return;
		}
		try (DirectoryStream<Path> entries = Files.newDirectoryStream(location)) {
			for (Path file : entries) {
				if (!file.getFileName().toString().startsWith(".") && !Files.isDirectory(file)) {
					readFile(file, found, newProblems);
				}
			}
		}
		catch (IOException | RuntimeException ex) {
			newProblems.add(location + ": " + ex.getClass().getSimpleName());
		}
	}

	private void readFile(Path file, Map<Path, CrlFile> found, Set<String> newProblems) {
		byte[] digest = null;
		try {
			checkReadable(file);
			digest = digest(file);
			CrlFile known = this.files.get(file);
			BadFile bad = this.badFiles.get(file);
			if (known != null && Arrays.equals(known.digest(), digest)) {
				found.put(file, known);
			}
			else if (bad != null && Arrays.equals(bad.digest(), digest)) {
				newProblems.add(bad.problem());
			}
			else {
				byte[] content = Files.readAllBytes(file);
				digest = sha256().digest(content);
				CrlFile read = new CrlFile(digest, parse(content));
				findSigners(read);
				found.put(file, read);
			}
		}
		catch (CRLException ex) {
			String problem = file + ": " + ex.getMessage();
			newProblems.add(problem);
			if (digest != null) {
				this.badFiles.put(file, new BadFile(digest, problem));
			}
		}
		catch (IOException | RuntimeException ex) {
			newProblems.add(file + ": " + ex.getClass().getSimpleName());
		}
	}

	// A pipe would never end, and with it neither would this look or any other
	private static void checkReadable(Path file) throws IOException, CRLException {
		if (!Files.exists(file)) {
			throw new NoSuchFileException(file.toString());
		}
		if (!Files.isRegularFile(file)) {
			throw new CRLException("it is no regular file");
		}
		if (Files.size(file) > MAX_BYTES) {
			throw new CRLException("it is longer than 256 MB");
		}
	}

	private static byte[] digest(Path file) throws IOException {
		MessageDigest digest = sha256();
		byte[] buffer = new byte[64 * 1024];
		try (InputStream in = Files.newInputStream(file)) {
			int count = in.read(buffer);
			while (count >= 0) {
				digest.update(buffer, 0, count);
				count = in.read(buffer);
			}
		}
		return digest.digest();
	}

	private static MessageDigest sha256() {
		try {
			return MessageDigest.getInstance("SHA-256");
		}
		catch (NoSuchAlgorithmException ex) {
			throw new IllegalStateException("Java has no SHA-256", ex);
		}
	}

	private static List<RevocationList> parse(byte[] content) throws CRLException {
		// DER of a list starts with a sequence, which is '0' in ASCII: no text does here
		String text = (content.length > 0 && content[0] != DerReader.SEQUENCE)
				? new String(content, StandardCharsets.ISO_8859_1) : "";
		int begin = text.indexOf(BEGIN);
		if (begin < 0) {
			return List.of(RevocationList.parse(content));
		}
		List<RevocationList> lists = new ArrayList<>();
		while (begin >= 0) {
			int from = begin + BEGIN.length();
			int end = text.indexOf(END, from);
			if (end < 0) {
				throw new CRLException("it ends before " + END);
			}
			try {
				lists.add(RevocationList.parse(Base64.getMimeDecoder().decode(Arrays.copyOfRange(content, from, end))));
			}
			catch (IllegalArgumentException ex) {
				throw new CRLException("it is not Base64 between BEGIN and END", ex);
			}
			begin = text.indexOf(BEGIN, end);
		}
		return List.copyOf(lists);
	}

	private void findSigners(CrlFile file) {
		for (RevocationList list : file.lists()) {
			for (X509Certificate issuer : this.issuers) {
				if (issuer.getSubjectX500Principal().equals(list.issuer()) && list.signedBy(issuer.getPublicKey())) {
					break;
				}
			}
		}
	}

	private static Map<X500Principal, List<RevocationList>> index(Collection<CrlFile> files) {
		Map<X500Principal, List<RevocationList>> index = new HashMap<>();
		for (CrlFile file : files) {
			for (RevocationList list : file.lists()) {
				index.computeIfAbsent(list.issuer(), (issuer) -> new ArrayList<>(1)).add(list);
			}
		}
		return index;
	}

	private String describe() {
		int lists = 0;
		long entries = 0;
		for (List<RevocationList> ofIssuer : this.byIssuer.values()) {
			lists += ofIssuer.size();
			entries += ofIssuer.stream().mapToLong(RevocationList::size).sum();
		}
		return lists + ", with " + entries + " revoked certificates";
	}

	private void report(Set<String> newProblems) {
		if (newProblems.equals(this.problems)) {
			return;
		}
		this.problems = newProblems;
		if (newProblems.isEmpty()) {
			logger.info("All certificate revocation lists can be read again");
		}
		else {
			logger.error("Certificate revocation lists (grpc.security.tls.crl.locations) cannot be read; what was read "
					+ "before stays in force, and nothing is dropped until all can be read: "
					+ String.join("; ", newProblems));
		}
	}

	private boolean reportOutdated() {
		Set<RevocationList> present = new HashSet<>();
		this.byIssuer.values().forEach(present::addAll);
		this.outdated.retainAll(present);
		this.overdue.retainAll(present);
		Instant now = this.clock.instant();
		boolean more = false;
		for (RevocationList list : present) {
			Instant next = list.nextUpdate();
			if (isOverdue(list)) {
				if (this.overdue.add(list)) {
					more = true;
					logger.error("The certificate revocation list of " + list.issuer().getName()
							+ " should have been replaced by " + next + " (nextUpdate), and its grace is over "
							+ "(grpc.security.tls.crl.next-update-grace): those it does not name are undetermined");
				}
			}
			else if (next != null && next.isBefore(now) && this.outdated.add(list)) {
				logger.warn("The certificate revocation list of " + list.issuer().getName()
						+ " stays in force, but should have been replaced by " + next + " (nextUpdate)");
			}
		}
		return more;
	}

	/**
	 * What came of a look at all files.
	 *
	 * @param changed whether certificates can be judged otherwise than before
	 * @param complete whether everything could be read
	 */
	private record Pass(boolean changed, boolean complete) {
	}

	/**
	 * A file as it was read.
	 *
	 * @param digest of its content
	 * @param lists what is in it
	 */
	@SuppressWarnings("ArrayRecordComponent")
	private record CrlFile(byte[] digest, List<RevocationList> lists) {

		@Override
		public boolean equals(@Nullable Object other) {
			return other instanceof CrlFile file && Arrays.equals(this.digest, file.digest);
		}

		@Override
		public int hashCode() {
			return Arrays.hashCode(this.digest);
		}

	}

	/**
	 * A file that is no list.
	 *
	 * @param digest of its content
	 * @param problem what is wrong with it
	 */
	@SuppressWarnings("ArrayRecordComponent")
	private record BadFile(byte[] digest, String problem) {
	}

}
