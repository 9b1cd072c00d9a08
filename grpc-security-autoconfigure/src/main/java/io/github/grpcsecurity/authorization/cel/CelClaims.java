package io.github.grpcsecurity.authorization.cel;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.util.AbstractMap;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

import dev.cel.common.values.NullValue;
import org.jspecify.annotations.Nullable;

/**
 * The claims of a token as CEL knows values: whole numbers are {@code int}, points in
 * time {@code timestamp}. Only what is read is turned.
 */
final class CelClaims extends AbstractMap<String, Object> {

	private final Map<String, Object> claims;

	CelClaims(Map<String, Object> claims) {
		this.claims = claims;
	}

	@Override
	public boolean containsKey(@Nullable Object key) {
		return key instanceof String && this.claims.containsKey(key);
	}

	@Override
	public @Nullable Object get(@Nullable Object key) {
		return containsKey(key) ? value(this.claims.get(key)) : null;
	}

	@Override
	public int size() {
		return this.claims.size();
	}

	@Override
	public Set<Entry<String, Object>> entrySet() {
		Map<String, Object> all = new LinkedHashMap<>();
		this.claims.forEach((name, claim) -> all.put(name, value(claim)));
		return all.entrySet();
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
