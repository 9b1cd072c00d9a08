package io.github.grpcsecurity.tls;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

/** Tells a virtual machine of Google Cloud from other machines. */
final class GoogleCloud {

	/** Where Linux says what the firmware calls the machine. */
	static final Path PRODUCT_NAME = Path.of("/sys/class/dmi/id/product_name");

	private static final Log logger = LogFactory.getLog(GoogleCloud.class);

	private static final Set<String> PRODUCTS = Set.of("Google", "Google Compute Engine");

	private GoogleCloud() {
	}

	static boolean isHere(Path productName) {
		try {
			return PRODUCTS.contains(Files.readString(productName).trim());
		}
		catch (IOException ex) {
			logger.debug("Cannot read " + productName, ex);
			return false;
		}
	}

}
