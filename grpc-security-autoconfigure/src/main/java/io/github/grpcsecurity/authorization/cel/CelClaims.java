package io.github.grpcsecurity.authorization.cel;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

import dev.cel.common.values.NullValue;
import org.jspecify.annotations.Nullable;

/**
 * Turns the claims of a token into what CEL knows: whole numbers are {@code int}, points
 * in time {@code timestamp}.
 */
final class CelClaims {

	private CelClaims() {
	}

	static Map<String, Object> of(Map<String, Object> claims) {
		Map<String, Object> values = new LinkedHashMap<>();
		claims.forEach((name, claim) -> values.put(name, value(claim)));
		return values;
	}

	private static Object value(@Nullable Object claim) {
		if (claim == null) {
			return NullValue.NULL_VALUE;
		}
		if (claim instanceof String || claim instanceof Boolean || claim instanceof Long || claim instanceof Double
				|| claim instanceof Instant) {
			return claim;
		}
		if (claim instanceof BigInteger number) {
			return (number.bitLength() < Long.SIZE) ? (Object) number.longValue() : (Object) number.doubleValue();
		}
		if (claim instanceof Float || claim instanceof BigDecimal) {
			return ((Number) claim).doubleValue();
		}
		if (claim instanceof Number number) {
			return number.longValue();
		}
		if (claim instanceof Date date) {
			return date.toInstant();
		}
		if (claim instanceof Collection<?> elements) {
			List<Object> list = new ArrayList<>(elements.size());
			elements.forEach((element) -> list.add(value(element)));
			return list;
		}
		if (claim instanceof Map<?, ?> members) {
			Map<String, Object> map = new LinkedHashMap<>();
			members.forEach((name, member) -> map.put(String.valueOf(name), value(member)));
			return map;
		}
		return claim.toString();
	}

}
