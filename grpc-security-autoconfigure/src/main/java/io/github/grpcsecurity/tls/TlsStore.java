package io.github.grpcsecurity.tls;

import org.jspecify.annotations.Nullable;

/**
 * A keystore file and what opens it.
 *
 * @param location the file, and the property that names it
 * @param type such as PKCS12 or JKS; found out from the file unless set
 * @param password password of the store
 * @since 0.1.0
 */
public record TlsStore(TlsLocation location, @Nullable String type, @Nullable String password) {

	TlsStore at(TlsLocation other) {
		return new TlsStore(other, this.type, this.password);
	}

	@Override
	public String toString() {
		return "TlsStore[" + this.location.property() + "]";
	}

}
