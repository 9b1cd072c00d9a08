package io.github.grpcsecurity.server;

import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.stream.Collectors;

import io.grpc.Context;
import io.grpc.DecompressorRegistry;
import io.grpc.HandlerRegistry;
import io.grpc.ServerBuilder;
import io.grpc.ServerInterceptor;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.context.SecurityContext;

/**
 * Makes a gRPC server secure: installs the call tracer, the pipeline and the registry of
 * unknown methods on any {@link ServerBuilder}, and holds the plans that calls execute.
 * <p>
 * One instance can secure several servers of one application, such as a network and an
 * in-process server. It is thread-safe.
 *
 * @since 0.1.0
 */
public final class GrpcServerSecurity {

	private static final Log logger = LogFactory.getLog(GrpcServerSecurity.class);

	private final List<CallStage> stages;

	private final List<CallObserver> observers;

	private final List<ServerBuilderConfigurer> configurers;

	private final @Nullable HandlerRegistry fallbackRegistry;

	private final InstantSource clock;

	private final DecompressorRegistry decompressors;

	private final Pipeline pipeline;

	// Guarded by this
	private final Map<String, SecuredMethod> methods = new LinkedHashMap<>();

	private volatile PlanTable plans;

	private GrpcServerSecurity(Builder builder) {
		this.stages = List.copyOf(builder.stages);
		this.observers = List.copyOf(builder.observers);
		this.configurers = List.copyOf(builder.configurers);
		this.fallbackRegistry = builder.fallbackRegistry;
		this.clock = builder.clock;
		this.decompressors = builder.decompressors;
		this.pipeline = new Pipeline(builder.translator,
				Objects.requireNonNull(builder.executor, "An executor is needed to continue calls on"),
				List.copyOf(builder.contextKeys), List.copyOf(builder.peerResolvers),
				List.copyOf(builder.refusalObservers), List.copyOf(builder.handlerInterceptors),
				new FailureLog(LogFactory.getLog(SecuredCallListener.class), System::nanoTime));
		this.plans = new PlanTable(this.stages, List.of());
	}

	/**
	 * Starts to put together the security of a server.
	 * @return a builder with nothing in it
	 */
	public static Builder builder() {
		return new Builder();
	}

	/**
	 * Installs everything on a server that has not been built yet. Call it last: what is
	 * added to the builder afterwards runs outside the pipeline.
	 * @param builder the builder of the server; any transport
	 * @param services all services of the server. Those that the host has added to the
	 * builder already are replaced by guarded ones of the same name.
	 */
	public void install(ServerBuilder<?> builder, Collection<SecuredService> services) {
		List<SecuredMethod> found = new ArrayList<>();
		for (SecuredService service : services) {
			builder.addService(RequestParsing.guard(service.definition()));
			add(service.definition(), service.bean(), service.beanName(), found);
		}
		HandlerRegistry fallback = this.fallbackRegistry;
		if (fallback != null) {
			fallback.getServices().forEach((service) -> add(service, null, null, found));
		}
		compile(found);
		builder.addStreamTracerFactory(new CallTracer.Factory(this.clock, this.observers, this.decompressors));
		builder.fallbackHandlerRegistry(new FallbackRegistry(fallback));
		this.configurers.forEach((configurer) -> configurer.configure(builder));
		builder.intercept(new SecurityServerInterceptor(() -> this.plans, this.pipeline));
		if (logger.isInfoEnabled()) {
			logger.info("Secured " + found.size() + " gRPC methods. A call passes through " + describeStages());
		}
	}

	/**
	 * Starts to describe a call, to ask the checks of a plan about it.
	 * @param plan the plan of the method that would be called
	 * @return a builder for a call that is never made
	 */
	public HypotheticalCall.Builder hypothetical(MethodPlan plan) {
		return new HypotheticalCall.Builder(plan, this.clock, this.pipeline.contextKeys());
	}

	private static void add(ServerServiceDefinition service, @Nullable Object bean, @Nullable String beanName,
			List<SecuredMethod> methods) {
		for (ServerMethodDefinition<?, ?> method : service.getMethods()) {
			methods.add(new SecuredMethod(method.getMethodDescriptor(), bean, beanName));
		}
	}

	private synchronized void compile(List<SecuredMethod> found) {
		Map<String, SecuredMethod> all = new LinkedHashMap<>(this.methods);
		found.forEach((method) -> all.put(method.fullName(), method));
		PlanTable compiled = new PlanTable(this.stages, all.values());
		this.methods.putAll(all);
		this.plans = compiled;
	}

	/**
	 * Compiles all plans anew, after the settings of a stage have changed. Calls in
	 * progress keep the plan they started with. If a stage throws, the plans in force
	 * stay as they are.
	 */
	public synchronized void refresh() {
		this.plans = new PlanTable(this.stages, this.methods.values());
	}

	/**
	 * The plans in force.
	 * @return a plan for each method, and as the last one that of all unknown methods
	 */
	public List<MethodPlan> plans() {
		return this.plans.all();
	}

	/**
	 * The stages in the order in which calls pass through them.
	 * @return a new list
	 */
	public List<CallStage> stages() {
		return this.stages.stream()
			.sorted(Comparator.comparing(CallStage::stage))
			.collect(Collectors.toCollection(ArrayList::new));
	}

	private String describeStages() {
		return stages().stream()
			.map((stage) -> stage.stage() + " (" + stage.getClass().getSimpleName() + ")")
			.collect(Collectors.joining(" > "));
	}

	/** Collects what a server is secured with. Not thread-safe. */
	public static final class Builder {

		private final List<CallStage> stages = new ArrayList<>();

		private final List<CallObserver> observers = new ArrayList<>();

		private final List<ServerBuilderConfigurer> configurers = new ArrayList<>();

		private final List<ServerInterceptor> refusalObservers = new ArrayList<>();

		private final List<ServerInterceptor> handlerInterceptors = new ArrayList<>();

		private final List<Context.Key<SecurityContext>> contextKeys = new ArrayList<>();

		private final List<PeerResolver> peerResolvers = new ArrayList<>();

		private StatusTranslator translator = new StatusTranslator(Set.of());

		private InstantSource clock = InstantSource.system();

		private DecompressorRegistry decompressors = DecompressorRegistry.getDefaultInstance();

		private @Nullable Executor executor;

		private @Nullable HandlerRegistry fallbackRegistry;

		private Builder() {
		}

		/**
		 * Adds the stages of the pipeline. They are sorted by {@link SecurityStage};
		 * those that share one keep the order given here.
		 * @param stages the stages
		 * @return this builder
		 */
		public Builder stages(Collection<? extends CallStage> stages) {
			this.stages.addAll(stages);
			return this;
		}

		/**
		 * Adds observers, which learn about every call.
		 * @param observers the observers
		 * @return this builder
		 */
		public Builder observers(Collection<? extends CallObserver> observers) {
			this.observers.addAll(observers);
			return this;
		}

		/**
		 * Adds what features set on the server itself.
		 * @param configurers the configurers
		 * @return this builder
		 */
		public Builder configurers(Collection<? extends ServerBuilderConfigurer> configurers) {
			this.configurers.addAll(configurers);
			return this;
		}

		/**
		 * Adds interceptors of the host server, such as its metrics, that are to see
		 * calls which the pipeline refuses. They sit behind the pipeline and would miss
		 * them.
		 * @param interceptors the interceptors, the outermost first
		 * @return this builder
		 */
		public Builder refusalObservers(Collection<? extends ServerInterceptor> interceptors) {
			this.refusalObservers.addAll(interceptors);
			return this;
		}

		/**
		 * Adds interceptors that prepare handlers of all services, also those of the
		 * fallback registry, for their caller. They see admitted calls only, run as the
		 * caller, and stand in front of the host's own interceptors.
		 * @param interceptors the interceptors, the outermost first
		 * @return this builder
		 */
		public Builder handlerInterceptors(Collection<? extends ServerInterceptor> interceptors) {
			this.handlerInterceptors.addAll(interceptors);
			return this;
		}

		/**
		 * Adds what looks at each call first, to find out on whose behalf its peer
		 * speaks.
		 * @param resolvers the resolvers, in the order in which they are asked
		 * @return this builder
		 */
		public Builder peerResolvers(Collection<? extends PeerResolver> resolvers) {
			this.peerResolvers.addAll(resolvers);
			return this;
		}

		/**
		 * Adds a place in the gRPC context where the identity of the caller is put as
		 * well, for user code that reads it where the host server used to put it.
		 * @param key the host's own key
		 * @return this builder
		 */
		public Builder contextKey(Context.Key<SecurityContext> key) {
			this.contextKeys.add(key);
			return this;
		}

		/**
		 * Sets which errors of handlers reach the caller.
		 * @param translator the translator; without one no description passes
		 * @return this builder
		 */
		public Builder statusTranslator(StatusTranslator translator) {
			this.translator = translator;
			return this;
		}

		/**
		 * Sets what continues calls whose decision had to be waited for. Handlers may run
		 * on it, so it must have threads for all that wait.
		 * @param executor the executor; needed
		 * @return this builder
		 */
		public Builder executor(Executor executor) {
			this.executor = executor;
			return this;
		}

		/**
		 * Sets the clock that stamps calls.
		 * @param clock the clock; the system's unless set
		 * @return this builder
		 */
		public Builder clock(InstantSource clock) {
			this.clock = clock;
			return this;
		}

		/**
		 * Sets the message encodings that the server reads, if they are not gRPC's usual
		 * ones. Calls with another one are refused before anything is read.
		 * @param registry the registry that the server has too
		 * @return this builder
		 */
		public Builder decompressorRegistry(DecompressorRegistry registry) {
			this.decompressors = registry;
			return this;
		}

		/**
		 * Sets a registry of the user that is asked for methods which no service has.
		 * @param registry the registry; what it knows is secured like any other method
		 * @return this builder
		 */
		public Builder fallbackRegistry(@Nullable HandlerRegistry registry) {
			this.fallbackRegistry = registry;
			return this;
		}

		/**
		 * Puts everything together.
		 * @return the security of a server
		 * @throws NullPointerException if there is no executor
		 */
		public GrpcServerSecurity build() {
			return new GrpcServerSecurity(this);
		}

	}

}
