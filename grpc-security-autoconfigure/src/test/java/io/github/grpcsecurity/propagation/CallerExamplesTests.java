package io.github.grpcsecurity.propagation;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import org.junit.jupiter.api.Test;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.ReactiveSecurityContextHolder;
import org.springframework.security.core.context.SecurityContextHolder;

import static org.assertj.core.api.Assertions.assertThat;

/** The code of the page about callers is code that runs here. */
class CallerExamplesTests {

	@Test
	void pageWhenItShowsJavaThenItIsCodeOfThisTest() throws Exception {
		String page = Files.readString(Path.of("../docs/authentication-caller.md"));
		String source = words(
				Files.readString(Path.of("src/test/java/io/github/grpcsecurity/propagation/CallerExamplesTests.java")));
		Matcher snippet = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(page);
		List<String> snippets = new ArrayList<>();
		while (snippet.find()) {
			snippets.add(words(snippet.group(1)));
		}

		assertThat(snippets).hasSize(5).allSatisfy((code) -> assertThat(source).contains(code));
	}

	private static String words(String code) {
		return code.strip().replaceAll("\\s+", "");
	}

	@Test
	void handlerWhenItDoesAsThePageSaysThenItHasItsCaller() throws Exception {
		ExecutorService pool = Executors.newSingleThreadExecutor();
		Handler handler = new Handler(pool);
		List<String> seen = new ArrayList<>();
		List<CompletableFuture<String>> later = new ArrayList<>();
		CompletableFuture<String> reply = new CompletableFuture<>();
		EchoService service = new EchoService();
		service.probe = (callback) -> {
			seen.add(handler.here());
			later.add(handler.elsewhere());
			later.add(handler.afterwards(reply));
			later.add(handler.stream(Flux.just(EchoRequest.getDefaultInstance()))
				.map(EchoReply::getText)
				.next()
				.toFuture());
		};
		try (TestServer server = TestServer.inProcess(service, List.of(TestStage.authentication()))) {
			CallType.UNARY.call(server.channel(), TestStage.user("alice"), "hello");
			reply.complete("done");

			assertThat(seen).containsExactly("alice alice");
			assertThat(later.get(0).get(10, TimeUnit.SECONDS)).isEqualTo("alice");
			assertThat(later.get(1).get(10, TimeUnit.SECONDS)).isEqualTo("done for alice");
			assertThat(later.get(2).get(10, TimeUnit.SECONDS)).isEqualTo("alice");
		}
		finally {
			pool.shutdownNow();
		}
	}

	private static final class Handler {

		private final Executor executor;

		Handler(Executor executor) {
			this.executor = CallerContext.propagating(executor);
		}

		String here() {
			GrpcCaller caller = GrpcCaller.current();
			String name = caller.name();
			Authentication user = SecurityContextHolder.getContext().getAuthentication();
			return name + " " + user.getName();
		}

		CompletableFuture<String> elsewhere() {
			return CompletableFuture.supplyAsync(() -> SecurityContextHolder.getContext().getAuthentication().getName(),
					this.executor);
		}

		CompletableFuture<String> afterwards(CompletableFuture<String> reply) {
			CallerContext context = CallerContext.capture();
			return reply.thenApplyAsync((text) -> text + " for " + GrpcCaller.current().name(),
					context.executor(Runnable::run));
		}

		Flux<EchoReply> stream(Flux<EchoRequest> requests) {
			return requests.flatMap(this::answer).contextWrite(ReactiveCaller.capture());
		}

		private Mono<EchoReply> answer(EchoRequest request) {
			return ReactiveSecurityContextHolder.getContext()
				.map((context) -> EchoReply.newBuilder().setText(context.getAuthentication().getName()).build());
		}

	}

}
