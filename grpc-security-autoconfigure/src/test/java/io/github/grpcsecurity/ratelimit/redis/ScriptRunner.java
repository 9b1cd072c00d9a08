package io.github.grpcsecurity.ratelimit.redis;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Draw;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Grant;
import io.github.grpcsecurity.ratelimit.OutageDebt;
import io.github.grpcsecurity.ratelimit.RateLimitDecision;
import io.github.grpcsecurity.ratelimit.RateLimitPermit;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.api.sync.RedisCommands;

/**
 * Runs the texts of the very scripts that the limiter uses many times in one command,
 * against a clock and a store of their own: the scripts see another {@code redis}.
 */
final class ScriptRunner {

	/** Some time in 2026, in microseconds. */
	static final long EPOCH = 1_790_000_000_000_000L;

	private static final String BEFORE = """
			local all = ARGV
			local position = 1
			local function take()
			  position = position + 1
			  return all[position - 1]
			end
			local store = {}
			local seconds, micros
			local redis = { call = function(command, key, value, px, ttl)
			  if command == 'TIME' then
			    return {seconds, micros}
			  elseif command == 'GET' then
			    return store[key] or false
			  elseif command == 'SET' and px == 'PX' then
			    local now = tonumber(seconds) * 1000000 + tonumber(micros)
			    local whole = tonumber(string.match(value, '^(%d+) %d+$'))
			    -- A millisecond of Redis may have begun already
			    assert(tonumber(ttl) * 1000 - 1000 > whole - now, 'expires too early')
			    assert(tonumber(ttl) * 1000 - 3000 <= whole - now, 'expires too late')
			    store[key] = value
			    return
			  end
			  error('unexpected command ' .. command)
			end }
			redis.pcall = redis.call
			local function gcra(KEYS, ARGV)
			""";

	private static final String BETWEEN = """

			end
			local function lease(KEYS, ARGV)
			""";

	private static final String AFTER = """

			end
			local out = {}
			while position <= #all do
			  local keys, arguments = {}, {}
			  seconds, micros = take(), take()
			  local script, width = gcra, 8
			  local count = tonumber(take())
			  if count == 0 then
			    script, width, count = lease, 11, 1
			  end
			  for i = 1, count do
			    keys[i] = take()
			    for a = 1, width do
			      arguments[#arguments + 1] = take()
			    end
			  end
			  for _, number in ipairs(script(keys, arguments)) do
			    out[#out + 1] = number
			  end
			end
			return out
			""";

	private final RedisCommands<String, String> redis;

	private final String sha;

	private final List<String> arguments = new ArrayList<>();

	private final List<List<RateLimitPermit>> calls = new ArrayList<>();

	private final List<Grant> grants = new ArrayList<>();

	ScriptRunner(RedisCommands<String, String> redis) throws IOException {
		this.redis = redis;
		this.sha = redis.scriptLoad(BEFORE + text("gcra.lua") + BETWEEN + text("lease.lua") + AFTER);
	}

	private static String text(String name) throws IOException {
		try (InputStream in = RedisRateLimiter.class.getResourceAsStream(name)) {
			return new String(in.readAllBytes(), StandardCharsets.UTF_8);
		}
	}

	void draw(long nowMicros, String keyPrefix, Draw draw) {
		long now = EPOCH + nowMicros;
		this.arguments.add(Long.toString(now / 1_000_000));
		this.arguments.add(Long.toString(now % 1_000_000));
		this.arguments.add("0");
		this.arguments.add(keyPrefix + draw.rule().name() + draw.key());
		Gcra gcra = draw.rule().gcra();
		for (long number : new long[] { gcra.limit(), gcra.price(1).whole(), gcra.price(1).fraction(),
				gcra.toleranceWhole(), gcra.toleranceFraction(), draw.least(), draw.must(), draw.want(),
				draw.giveBack(), draw.untold().least(), draw.untold().owed() }) {
			this.arguments.add(Long.toString(number));
		}
		this.calls.add(List.of());
	}

	/** What was granted to all draws since the last time. */
	List<Grant> grants() {
		List<Grant> all = List.copyOf(this.grants);
		this.grants.clear();
		return all;
	}

	void call(long nowMicros, String keyPrefix, List<RateLimitPermit> permits) {
		call(nowMicros, keyPrefix, permits, OutageDebt.NONE);
	}

	/** A call whose keys owe something that the store has not heard of. */
	void call(long nowMicros, String keyPrefix, List<RateLimitPermit> permits, OutageDebt untold) {
		long now = EPOCH + nowMicros;
		this.arguments.add(Long.toString(now / 1_000_000));
		this.arguments.add(Long.toString(now % 1_000_000));
		this.arguments.add(Integer.toString(permits.size()));
		for (RateLimitPermit permit : permits) {
			Gcra gcra = permit.rule().gcra();
			this.arguments.add(keyPrefix + permit.rule().name() + permit.key());
			this.arguments.add(permit.rule().shadow() ? "0" : "1");
			this.arguments.add(Long.toString(gcra.limit()));
			this.arguments.add(Long.toString(gcra.price(permit.cost()).whole()));
			this.arguments.add(Long.toString(gcra.price(permit.cost()).fraction()));
			this.arguments.add(Long.toString(gcra.toleranceWhole()));
			this.arguments.add(Long.toString(gcra.toleranceFraction()));
			this.arguments.add(Long.toString(untold.least()));
			this.arguments.add(Long.toString(untold.owed()));
		}
		this.calls.add(permits);
	}

	int size() {
		return this.arguments.size();
	}

	/** Runs all calls since the last time, in an empty store. */
	List<RateLimitDecision> run() {
		List<Long> reply = this.redis.evalsha(this.sha, ScriptOutputType.MULTI, new String[0],
				this.arguments.toArray(new String[0]));
		List<RateLimitDecision> decisions = new ArrayList<>();
		int position = 0;
		for (List<RateLimitPermit> permits : this.calls) {
			if (permits.isEmpty()) {
				this.grants
					.add(new Grant(reply.get(position++), new Gcra.Debt(reply.get(position++), reply.get(position++))));
				continue;
			}
			boolean permitted = reply.get(position++) == 1;
			List<Gcra.Debt> debts = new ArrayList<>();
			for (int i = 0; i < permits.size(); i++) {
				debts.add(new Gcra.Debt(reply.get(position++), reply.get(position++)));
			}
			RateLimitDecision decision = RateLimitDecision.of(permits, debts);
			if (decision.permitted() != permitted) {
				throw new AssertionError("The script decided otherwise: " + permits + " " + debts);
			}
			decisions.add(decision);
		}
		this.arguments.clear();
		this.calls.clear();
		return decisions;
	}

}
