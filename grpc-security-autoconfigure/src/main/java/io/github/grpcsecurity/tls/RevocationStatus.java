package io.github.grpcsecurity.tls;

/** What is known about the revocation of a certificate, in the words of gRFC A69. */
enum RevocationStatus {

	/** The list of its issuer does not name it. */
	UNREVOKED,

	/** The list of its issuer names it. */
	REVOKED,

	/** There is no list that its issuer signed. */
	UNDETERMINED

}
