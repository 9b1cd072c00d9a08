package io.github.grpcsecurity.tls;

/**
 * Is told of each look at the files with certificate revocation lists (gRFC A69). Beans
 * of this type are found by themselves. Called by one thread at a time.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface RevocationReloadObserver {

	/**
	 * All locations have been looked at, whether or not anything had changed.
	 * @param complete whether everything could be read; otherwise lists that were read
	 * before stay in force
	 */
	void looked(boolean complete);

}
