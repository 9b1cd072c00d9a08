package io.github.grpcsecurity.sample;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import io.github.grpcsecurity.sample.proto.Transaction;

import org.springframework.stereotype.Component;

/** The books of the bank, in memory. Thread-safe. */
@Component
class Ledger {

	// Guarded by this
	private final Map<String, Long> balances = new ConcurrentHashMap<>(
			Map.of("alice", 500_000L, "bob", 120_000L, "carol", 80_000L));

	// Guarded by this
	private final List<Transaction> transactions = new ArrayList<>();

	/** The balance in cents, or {@code null} for an account that does not exist. */
	synchronized Long balance(String account) {
		return this.balances.get(account);
	}

	/** Books a transaction; returns its number. */
	synchronized int book(Transaction transaction) {
		long from = existing(transaction.getFromAccount());
		existing(transaction.getToAccount());
		if (transaction.getAmount() <= 0) {
			throw new IllegalArgumentException("an amount must be positive");
		}
		if (from < transaction.getAmount()) {
			throw new InsufficientFundsException();
		}
		this.balances.merge(transaction.getFromAccount(), -transaction.getAmount(), Long::sum);
		this.balances.merge(transaction.getToAccount(), transaction.getAmount(), Long::sum);
		this.transactions.add(transaction);
		return this.transactions.size();
	}

	private long existing(String account) {
		Long balance = this.balances.get(account);
		if (balance == null) {
			throw new UnknownAccountException();
		}
		return balance;
	}

	/** What has been booked on an account so far. */
	synchronized List<Transaction> transactions(String account) {
		return this.transactions.stream()
			.filter((transaction) -> transaction.getFromAccount().equals(account)
					|| transaction.getToAccount().equals(account))
			.toList();
	}

	static final class UnknownAccountException extends RuntimeException {

		private static final long serialVersionUID = 1L;

	}

	static final class InsufficientFundsException extends RuntimeException {

		private static final long serialVersionUID = 1L;

	}

}
