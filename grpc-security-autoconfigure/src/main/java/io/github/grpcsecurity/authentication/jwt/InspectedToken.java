package io.github.grpcsecurity.authentication.jwt;

import java.text.ParseException;

import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jwt.SignedJWT;

/**
 * What a token says about itself before anything of it is believed: enough to find its
 * issuer and keys, and to refuse it when it tries to choose them itself.
 *
 * @param header the header
 * @param issuer the {@code iss} claim
 */
record InspectedToken(JWSHeader header, String issuer) {

	/**
	 * Looks into a token.
	 * @throws MalformedTokenException if it is none that could be good; the message
	 * quotes nothing of it
	 */
	static InspectedToken inspect(String token) throws MalformedTokenException {
		JWSHeader header;
		String issuer;
		try {
			// No "none" and no encryption gets past this
			SignedJWT jwt = SignedJWT.parse(token);
			header = jwt.getHeader();
			issuer = jwt.getJWTClaimsSet().getIssuer();
		}
		catch (ParseException | IllegalArgumentException ex) {
			throw new MalformedTokenException("token is no signed JWT");
		}
		if (header.getJWK() != null || header.getJWKURL() != null || header.getX509CertURL() != null
				|| header.getX509CertChain() != null) {
			throw new MalformedTokenException("token brings its own key");
		}
		// RFC 7797 7 keeps "b64" out of JWTs, and nothing else is understood here
		if (header.getCriticalParams() != null || !header.isBase64URLEncodePayload()) {
			throw new MalformedTokenException("token has critical headers");
		}
		if (issuer == null) {
			throw new MalformedTokenException("token without issuer");
		}
		return new InspectedToken(header, issuer);
	}

	@Override
	public String toString() {
		return "InspectedToken[PROTECTED]";
	}

	/** A token that need not be verified, because it cannot be good. */
	static final class MalformedTokenException extends Exception {

		private static final long serialVersionUID = 1L;

		MalformedTokenException(String message) {
			// Anybody can provoke it at will: no stack trace
			super(message, null, false, false);
		}

		String reason() {
			return String.valueOf(getMessage());
		}

	}

}
