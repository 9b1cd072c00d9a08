package io.github.grpcsecurity.autoconfigure;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.tls.CertificateRevocationLists;
import io.github.grpcsecurity.tls.ClientAuth;
import io.github.grpcsecurity.tls.RevocationChecker;
import io.github.grpcsecurity.tls.TlsConfigurationException;
import org.jspecify.annotations.Nullable;

import org.springframework.core.io.Resource;
import org.springframework.core.io.ResourceLoader;

/** Finds out from the properties how the revocation of client certificates is checked. */
final class RevocationSetup {

	static final String LOCATIONS = "grpc.security.tls.crl.locations";

	private final GrpcTlsProperties tls;

	private final ResourceLoader resources;

	RevocationSetup(GrpcTlsProperties tls, ResourceLoader resources) {
		this.tls = tls;
		this.resources = resources;
	}

	@Nullable RevocationChecker checker() {
		List<String> locations = this.tls.crl().locations();
		if (locations.isEmpty()) {
			return null;
		}
		if (this.tls.clientAuth() == ClientAuth.NONE) {
			throw new TlsConfigurationException(
					LOCATIONS + " is set, but grpc.security.tls.client-auth is 'none', so that no client shows a "
							+ "certificate that could be revoked.",
					"Set grpc.security.tls.client-auth to require or optional, or remove " + LOCATIONS + ".");
		}
		List<Path> paths = new ArrayList<>();
		locations.forEach((location) -> paths.add(path(location)));
		return new RevocationChecker(new CertificateRevocationLists(paths, InstantSource.system(), grace()),
				this.tls.crl().undetermined());
	}

	private @Nullable Duration grace() {
		Duration grace = this.tls.crl().nextUpdateGrace();
		if (grace != null && grace.isNegative()) {
			throw new TlsConfigurationException(
					"grpc.security.tls.crl.next-update-grace is '" + grace
							+ "', so that lists would be out of force before they are due.",
					"Set it to a duration such as 1d, to 0 for no grace, or remove it to keep lists in force until "
							+ "they are replaced.");
		}
		return grace;
	}

	private Path path(String location) {
		Resource resource = this.resources.getResource(location);
		try {
			if (!location.isBlank() && resource.isFile()) {
				return resource.getFile().toPath();
			}
		}
		catch (IOException ex) {
			throw noFile(location, ex);
		}
		throw noFile(location, null);
	}

	private static TlsConfigurationException noFile(String location, @Nullable IOException cause) {
		return new TlsConfigurationException(
				LOCATIONS + " has '" + location + "', which is no place in the file system.",
				"Let " + LOCATIONS + " name files with certificate revocation lists, or directories that hold nothing "
						+ "else, as paths or file: locations.",
				cause);
	}

}
