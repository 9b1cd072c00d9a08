package io.github.grpcsecurity.tls;

/**
 * Is told when a server changes its certificate, and when it could not. Beans of this
 * type are found by themselves. Called by one thread at a time, unless the server has
 * certificates for certain hosts (SNI), each of which is exchanged by itself.
 *
 * @since 0.1.0
 */
public interface TlsReloadObserver {

	/**
	 * New handshakes use other material from now on.
	 * @param material what is in force
	 */
	default void reloaded(TlsMaterial material) {
	}

	/**
	 * There is other material, but it cannot work, so the old one stays in force. Called
	 * each time that is found out: as long as it lies there, once per reload interval.
	 * @param cause what is wrong with it
	 */
	default void failed(RuntimeException cause) {
	}

}
