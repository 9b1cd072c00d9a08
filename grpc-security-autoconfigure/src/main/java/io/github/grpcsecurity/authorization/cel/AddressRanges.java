package io.github.grpcsecurity.authorization.cel;

import java.net.InetAddress;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import dev.cel.common.CelFunctionDecl;
import dev.cel.common.CelOverloadDecl;
import dev.cel.common.types.SimpleType;
import dev.cel.runtime.CelFunctionBinding;
import io.github.grpcsecurity.authorization.InvalidConditionException;
import io.github.grpcsecurity.server.AddressRange;

/**
 * The function {@code inRange(address, block)}. Blocks are written out in conditions and
 * read when those are compiled.
 */
final class AddressRanges {

	static final String FUNCTION = "inRange";

	private static final String OVERLOAD = "in_range_string_string";

	static final CelFunctionDecl DECLARATION = CelFunctionDecl.newFunctionDeclaration(FUNCTION,
			CelOverloadDecl.newGlobalOverload(OVERLOAD, SimpleType.BOOL, SimpleType.STRING, SimpleType.STRING));

	private final Map<String, AddressRange> ranges = new ConcurrentHashMap<>();

	void add(String text) {
		try {
			this.ranges.put(text, AddressRange.parse(text));
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConditionException("'" + text + "' is no block of addresses: " + ex.getMessage() + ".");
		}
	}

	// What it has read never changes, it only gets more
	@SuppressWarnings("Immutable")
	CelFunctionBinding binding() {
		return CelFunctionBinding.from(OVERLOAD, String.class, String.class, this::contains);
	}

	/** Text that is no address is an error, not an address outside. */
	private boolean contains(String address, String text) {
		AddressRange range = this.ranges.get(text);
		InetAddress parsed = AddressRange.address(address);
		if (range == null || parsed == null) {
			throw new IllegalArgumentException("not an address");
		}
		return range.contains(parsed);
	}

}
