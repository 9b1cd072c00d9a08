package io.github.grpcsecurity.tls;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.core.io.Resource;

/**
 * A file with keys or certificates, and the property that names it.
 *
 * @param property name of the property
 * @param value what the property says
 * @param resource the file
 * @since 0.1.0
 */
public record TlsLocation(String property, String value, Resource resource) {

	private static final Log logger = LogFactory.getLog(TlsLocation.class);

	byte[] read(String expected) {
		if (!this.resource.exists()) {
			throw problem("but there is no such file.", expected, null);
		}
		try {
			return FrozenResource.content(this.resource);
		}
		catch (FrozenResource.UnusableFileException ex) {
			throw problem("which cannot be read: " + ex.getMessage() + ".", expected, ex);
		}
		catch (IOException ex) {
			throw problem("which cannot be read (" + ex.getClass().getSimpleName() + ").", expected, ex);
		}
	}

	/** The same location, with the content that it has now. */
	TlsLocation frozen() {
		return new TlsLocation(this.property, this.value, new FrozenResource(this.resource));
	}

	private TlsConfigurationException problem(String problem, String expected, @Nullable IOException cause) {
		return new TlsConfigurationException(this + " " + problem, "Let " + this.property + " name " + expected
				+ " that the server may read, as a path, file: or classpath: location.", cause);
	}

	/**
	 * Private keys are for the server alone: says so if other users can read them too.
	 */
	void warnIfWorldReadable() {
		if (!this.resource.isFile()) {
			return;
		}
		try {
			File file = this.resource.getFile();
			Path path = file.toPath();
			if (path.getFileSystem().supportedFileAttributeViews().contains("posix")
					&& Files.getPosixFilePermissions(path).contains(PosixFilePermission.OTHERS_READ)) {
				logger.warn("Every user of this machine can read the private key in " + file + " (" + this.property
						+ "). Take the permission away: chmod o-r " + file);
			}
		}
		catch (IOException ex) {
			logger.debug("Cannot look at the permissions of " + this.property, ex);
		}
	}

	@Override
	public String toString() {
		return this.property + " is '" + this.value + "',";
	}

}
