package io.github.grpcsecurity.sample;

import java.nio.file.Path;

import io.github.grpcsecurity.authorization.AccessTable;
import io.github.grpcsecurity.authorization.CallDescription;
import io.github.grpcsecurity.sample.proto.Transaction;
import io.github.grpcsecurity.sample.proto.TransferRequest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.context.ConfigurableApplicationContext;

/**
 * Who may call what in the bank. An RPC that is added without a row here fails this test.
 */
class BankAccessIT {

	private static final String REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

	@TempDir
	private Path directory;

	@Test
	void accessWhenBankIsOpenThenAsTheTableSays() {
		try (ConfigurableApplicationContext context = BankApplication.run("--grpc.server.port=0",
				"--sample.tour.enabled=false", "--grpc.security.dev.directory=" + this.directory)) {
			// tag::table[]
			AccessTable.of(context)
				.caller("teller", "ROLE_TELLER")
				.allows("bank.Accounts/Transfer", transferOf(1_000_000))
				.allows("bank.Accounts/ImportTransactions", transactionOf(1_000_000))
				.denies("bank.Accounts/ImportTransactions", transactionOf(1_000_001))
				.denies("bank.Accounts/GetBalance", "bank.Accounts/WatchTransactions", "bank.Accounts/Reconcile")
				.caller("customer", "SCOPE_accounts.read")
				.allows("bank.Accounts/GetBalance", "bank.Accounts/WatchTransactions")
				.allows("bank.Accounts/Transfer", transferOf(100_000))
				.denies("bank.Accounts/Transfer", transferOf(100_001))
				.denies("bank.Accounts/ImportTransactions", "bank.Accounts/Reconcile")
				.caller(CallDescription.credential("certificate", "auditor", "ROLE_AUDITOR"))
				.allows("bank.Accounts/Reconcile")
				.anonymous()
				.allows("grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch")
				.denies(REFLECTION)
				.denies("bank.Accounts/Transfer", transferOf(1))
				.deniesEverythingElse()
				.verify();
			// end::table[]
		}
	}

	private static TransferRequest transferOf(long amount) {
		return TransferRequest.newBuilder().setAmount(amount).build();
	}

	private static Transaction transactionOf(long amount) {
		return Transaction.newBuilder().setAmount(amount).build();
	}

}
