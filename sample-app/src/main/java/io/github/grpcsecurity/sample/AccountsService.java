package io.github.grpcsecurity.sample;

import io.github.grpcsecurity.sample.proto.AccountsGrpc;
import io.github.grpcsecurity.sample.proto.Balance;
import io.github.grpcsecurity.sample.proto.GetBalanceRequest;
import io.github.grpcsecurity.sample.proto.ImportSummary;
import io.github.grpcsecurity.sample.proto.ReconcileReply;
import io.github.grpcsecurity.sample.proto.ReconcileRequest;
import io.github.grpcsecurity.sample.proto.Transaction;
import io.github.grpcsecurity.sample.proto.TransferReceipt;
import io.github.grpcsecurity.sample.proto.TransferRequest;
import io.github.grpcsecurity.sample.proto.WatchTransactionsRequest;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import net.devh.boot.grpc.server.service.GrpcService;

import org.springframework.security.access.prepost.PreAuthorize;
import org.springframework.security.core.context.SecurityContextHolder;

/** The bank's service. Who may call {@code GetBalance} stands in application.yml. */
@GrpcService
class AccountsService extends AccountsGrpc.AccountsImplBase {

	private final Ledger ledger;

	AccountsService(Ledger ledger) {
		this.ledger = ledger;
	}

	@Override
	public void getBalance(GetBalanceRequest request, StreamObserver<Balance> replies) {
		if (request.getAccount().equals("broken")) {
			throw new IllegalStateException("the books at ledger-db-7.internal are locked");
		}
		Long amount = this.ledger.balance(request.getAccount());
		if (amount == null) {
			replies.onError(Status.NOT_FOUND.withDescription("no such account").asRuntimeException());
			return;
		}
		replies.onNext(Balance.newBuilder().setAccount(request.getAccount()).setAmount(amount).build());
		replies.onCompleted();
	}

	// tag::annotation[]
	@Override
	@PreAuthorize("hasRole('TELLER') or (isAuthenticated() and #request.amount <= 100000)")
	public void transfer(TransferRequest request, StreamObserver<TransferReceipt> replies) {
		// end::annotation[]
		try {
			int number = this.ledger.book(Transaction.newBuilder()
				.setFromAccount(request.getFromAccount())
				.setToAccount(request.getToAccount())
				.setAmount(request.getAmount())
				.build());
			replies.onNext(TransferReceipt.newBuilder()
				.setId("T" + number)
				.setBookedBy(SecurityContextHolder.getContext().getAuthentication().getName())
				.build());
			replies.onCompleted();
		}
		catch (RuntimeException ex) {
			replies.onError(notBooked(ex));
		}
	}

	private static RuntimeException notBooked(RuntimeException ex) {
		if (ex instanceof Ledger.InsufficientFundsException) {
			return Status.FAILED_PRECONDITION.withDescription("insufficient funds").asRuntimeException();
		}
		if (ex instanceof Ledger.UnknownAccountException) {
			return Status.NOT_FOUND.withDescription("no such account").asRuntimeException();
		}
		return (ex instanceof IllegalArgumentException)
				? Status.INVALID_ARGUMENT.withDescription(ex.getMessage()).asRuntimeException() : ex;
	}

	@Override
	@PreAuthorize("hasAuthority('SCOPE_accounts.read')")
	public void watchTransactions(WatchTransactionsRequest request, StreamObserver<Transaction> replies) {
		int max = (request.getMax() > 0) ? request.getMax() : Integer.MAX_VALUE;
		this.ledger.transactions(request.getAccount()).stream().limit(max).forEach(replies::onNext);
		replies.onCompleted();
	}

	/** The expression is asked for every message of the stream, before it gets here. */
	@Override
	@PreAuthorize("hasRole('TELLER') and #request.amount <= 1000000")
	public StreamObserver<Transaction> importTransactions(StreamObserver<ImportSummary> replies) {
		return new StreamObserver<>() {

			private int imported;

			private long total;

			private boolean failed;

			@Override
			public void onNext(Transaction transaction) {
				if (this.failed) {
					return;
				}
				try {
					AccountsService.this.ledger.book(transaction);
					this.imported++;
					this.total += transaction.getAmount();
				}
				catch (RuntimeException ex) {
					this.failed = true;
					replies.onError(notBooked(ex));
				}
			}

			@Override
			public void onError(Throwable ex) {
				// What was imported stays: the client learns from the status where it
				// stopped
			}

			@Override
			public void onCompleted() {
				if (this.failed) {
					return;
				}
				replies.onNext(ImportSummary.newBuilder().setImported(this.imported).setTotal(this.total).build());
				replies.onCompleted();
			}
		};
	}

	@Override
	@PreAuthorize("hasRole('AUDITOR')")
	public StreamObserver<ReconcileRequest> reconcile(StreamObserver<ReconcileReply> replies) {
		return new StreamObserver<>() {

			@Override
			public void onNext(ReconcileRequest request) {
				Long amount = AccountsService.this.ledger.balance(request.getAccount());
				replies.onNext(ReconcileReply.newBuilder()
					.setAccount(request.getAccount())
					.setMatches(amount != null && amount == request.getExpectedAmount())
					.build());
			}

			@Override
			public void onError(Throwable ex) {
				// Nothing is open here
			}

			@Override
			public void onCompleted() {
				replies.onCompleted();
			}
		};
	}

}
