package io.github.grpcsecurity.sample.tour;

import java.util.List;

import io.github.grpcsecurity.dev.DevDirectory;
import io.github.grpcsecurity.sample.SamplePartner;
import io.github.grpcsecurity.sample.SampleRedis;
import net.devh.boot.grpc.server.event.GrpcServerStartedEvent;

import org.springframework.boot.ExitCodeGenerator;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.context.event.ApplicationReadyEvent;
import org.springframework.context.ApplicationContext;
import org.springframework.context.event.EventListener;
import org.springframework.stereotype.Component;

/** Takes the tour once the bank is open, and says how to go on by hand. */
@Component
public class TourGuide implements ExitCodeGenerator {

	private final DevDirectory directory;

	private final TourProperties properties;

	private final SampleRedis redis;

	private final SamplePartner partner;

	private volatile int port;

	private volatile List<Tour.Row> rows = List.of();

	TourGuide(DevDirectory directory, TourProperties properties, SampleRedis redis, SamplePartner partner) {
		this.directory = directory;
		this.properties = properties;
		this.redis = redis;
		this.partner = partner;
	}

	@EventListener
	void started(GrpcServerStartedEvent event) {
		this.port = event.getServer().getPort();
	}

	@EventListener
	void ready(ApplicationReadyEvent event) {
		TourTokens tokens = new TourTokens(this.directory.jwkSet(), this.directory.jwtKey(), this.directory.issuer(),
				this.directory.audience());
		if (this.properties.enabled()) {
			this.rows = new Tour(this.port, this.directory.path(), tokens, this.partner.key()).walk();
			long different = this.rows.stream().filter((row) -> !row.asExpected()).count();
			say("The tour made " + this.rows.size() + " calls. Limits are kept in " + this.redis.describe() + ".", "",
					TourTable.format(this.rows), (different == 0) ? "All went as expected."
							: different + " went differently: see the lines with '!'.");
			if (this.properties.exit()) {
				exit(event.getApplicationContext());
				return;
			}
		}
		say(byHand(tokens));
	}

	private void exit(ApplicationContext context) {
		// Not on the thread that is still starting the application
		new Thread(() -> System.exit(SpringApplication.exit(context)), "sample-exit").start();
	}

	private String byHand(TourTokens tokens) {
		String options = "grpcurl -cacert %1$s -cert %2$s -key %3$s -import-path sample-app/src/main/protobuf"
			.formatted(this.directory.caCertificate(), this.directory.clientCertificate(), this.directory.clientKey())
				+ " -proto bank/accounts.proto \\\n  ";
		String token = "-H 'authorization: Bearer '$TOKEN ";
		String server = "127.0.0.1:" + this.port;
		return """
				The bank goes on serving on %1$s. Try it by hand, from the project's directory:

				TOKEN=%2$s

				%3$s%4$s-d '{"account": "alice"}' %1$s bank.Accounts/GetBalance
				%3$s%4$s-d '{"from_account": "alice", "to_account": "bob", "amount": 100}' %1$s bank.Accounts/Transfer
				%3$s-H 'x-api-key: %5$s' -d '{"account": "alice"}' %1$s bank.Accounts/GetBalance
				%3$s-d '{"account": "alice"}' %1$s bank.Accounts/GetBalance

				The last one has no credentials. Stop with Ctrl-C.""".formatted(server,
				tokens.token("tess", List.of("TELLER"), "accounts.read"), options, token, this.partner.key());
	}

	private static void say(String... lines) {
		System.out.println();
		for (String line : lines) {
			System.out.println(line);
		}
		System.out.flush();
	}

	/** What the tour found, in the order of its calls. */
	public List<Tour.Row> rows() {
		return this.rows;
	}

	@Override
	public int getExitCode() {
		return this.rows.stream().allMatch(Tour.Row::asExpected) ? 0 : 1;
	}

}
