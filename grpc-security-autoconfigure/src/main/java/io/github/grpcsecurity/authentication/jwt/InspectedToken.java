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
		if (!compact(token)) {
			throw new MalformedTokenException("token is no signed JWT");
		}
		JWSHeader header;
		String issuer;
		try {
			// No "none" and no encryption gets past this
			SignedJWT jwt = SignedJWT.parse(token);
			header = jwt.getHeader();
			issuer = jwt.getJWTClaimsSet().getIssuer();
		}
		catch (ParseException | RuntimeException ex) {
			// The parser throws this and that for what callers make up
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

	/**
	 * Whether a token is three parts of base64url without padding (RFC 7515 3.1), with
	 * zeros in the bits that mean nothing (RFC 4648 3.5). The parser would skip other
	 * characters and bits, and one token would have many spellings.
	 */
	private static boolean compact(String token) {
		int dots = 0;
		int start = 0;
		for (int i = 0; i < token.length(); i++) {
			if (token.charAt(i) == '.') {
				if (++dots > 2 || !endsWell(token, start, i)) {
					return false;
				}
				start = i + 1;
			}
			else if (value(token.charAt(i)) < 0) {
				return false;
			}
		}
		return dots == 2 && endsWell(token, start, token.length());
	}

	private static boolean endsWell(String token, int start, int end) {
		int last = (end > start) ? value(token.charAt(end - 1)) : 0;
		return switch ((end - start) % 4) {
			case 0 -> end > start;
			case 2 -> (last & 0xf) == 0;
			case 3 -> (last & 0x3) == 0;
			default -> false;
		};
	}

	/** The six bits that a character stands for; negative if it stands for none. */
	private static int value(char c) {
		if (c >= 'A' && c <= 'Z') {
			return c - 'A';
		}
		if (c >= 'a' && c <= 'z') {
			return c - 'a' + 26;
		}
		if (c >= '0' && c <= '9') {
			return c - '0' + 52;
		}
		return switch (c) {
			case '-' -> 62;
			case '_' -> 63;
			default -> -1;
		};
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
