package io.github.grpcsecurity.autoconfigure;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.Locale;
import java.util.Objects;

import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.core.env.Environment;

/**
 * What the properties of the server itself say about its address and its TLS. Read from
 * the environment, so that no class of the server is needed.
 */
final class HostServer {

	static final String ADDRESS = "grpc.server.address";

	static final String PORT = "grpc.server.port";

	static final String TLS = "grpc.server.security.enabled";

	private static final int NO_PORT = -1;

	private final Binder binder;

	HostServer(Environment environment) {
		this.binder = Binder.get(environment);
	}

	String address() {
		String address = this.binder.bind(ADDRESS, String.class).orElse(null);
		return (address != null) ? address.trim() : "*";
	}

	boolean hasAddress() {
		return this.binder.bind(ADDRESS, String.class).isBound();
	}

	boolean hasTls() {
		return Boolean.TRUE.equals(this.binder.bind(TLS, Boolean.class).orElse(false));
	}

	/** Whether the server opens no port at all. */
	boolean isInProcessOnly() {
		return Objects.equals(this.binder.bind(PORT, Integer.class).orElse(0), NO_PORT);
	}

	/** Whether only processes on this machine can reach the server. */
	boolean isLocal() {
		return isInProcessOnly() || isLocal(address());
	}

	private static boolean isLocal(String address) {
		if (address.startsWith("unix:") || address.toLowerCase(Locale.ROOT).equals("localhost")) {
			return true;
		}
		String literal = (address.startsWith("[") && address.endsWith("]")) ? address.substring(1, address.length() - 1)
				: address;
		// Only literals: what a name resolves to now says nothing about later
		if (!literal.matches("[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(%.+)?")) {
			return false;
		}
		try {
			return InetAddress.getByName(literal).isLoopbackAddress();
		}
		catch (UnknownHostException ex) {
			return false;
		}
	}

	/** The address as part of a sentence. */
	String describeAddress() {
		String address = address();
		return address.equals("*") ? "all addresses of this machine (" + ADDRESS + " is '*')"
				: "'" + address + "' (" + ADDRESS + ")";
	}

}
