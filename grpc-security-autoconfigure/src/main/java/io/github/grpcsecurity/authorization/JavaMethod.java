package io.github.grpcsecurity.authorization;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.lang.reflect.Type;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Collectors;

import javax.lang.model.SourceVersion;

import io.github.grpcsecurity.server.SecuredMethod;
import io.grpc.BindableService;
import io.grpc.MethodDescriptor;
import io.grpc.stub.StreamObserver;
import org.jspecify.annotations.Nullable;

import org.springframework.aop.framework.AopProxyUtils;
import org.springframework.core.ResolvableType;
import org.springframework.util.ReflectionUtils;

/**
 * The Java method that runs when an RPC is called, found behind proxies.
 * <p>
 * What binds an RPC to its method is generated or written by hand and cannot be looked
 * into; name and signature can, for they follow the conventions of the generators for
 * Java, Kotlin and Reactor.
 *
 * @param rpc the RPC
 * @param target the object that implements the service, without proxies
 * @param type its class
 * @param method the method; {@code null} if the service has none that fits, as when its
 * {@code bindService()} is written by hand
 * @param takesMessage whether the first parameter of the method is the message
 */
record JavaMethod(SecuredMethod rpc, Object target, Class<?> type, @Nullable Method method, boolean takesMessage) {

	private static final String CONTINUATION = "kotlin.coroutines.Continuation";

	/**
	 * Finds the method behind an RPC.
	 * @param rpc the RPC
	 * @param annotated whether a method carries a security annotation of its own
	 * @return the method; {@code null} if the RPC has no object that implements it
	 * @throws UnenforceableAnnotationException if one of several methods may be meant and
	 * it matters which
	 */
	static @Nullable JavaMethod find(SecuredMethod rpc, Predicate<Method> annotated) {
		if (rpc.bean() == null) {
			return null;
		}
		Object target = unwrap(rpc.bean());
		Class<?> type = AopProxyUtils.ultimateTargetClass(target);
		Candidate found = choose(candidates(rpc.descriptor(), type), rpc, annotated);
		if (found == null) {
			return new JavaMethod(rpc, target, type, null, false);
		}
		return new JavaMethod(rpc, target, type, found.method(), found.takesMessage());
	}

	private static Object unwrap(Object bean) {
		Object target = bean;
		Object next = AopProxyUtils.getSingletonTarget(target);
		while (next != null) {
			target = next;
			next = AopProxyUtils.getSingletonTarget(target);
		}
		return target;
	}

	private static List<Candidate> candidates(MethodDescriptor<?, ?> rpc, Class<?> type) {
		String name = Objects.requireNonNullElse(rpc.getBareMethodName(), "");
		List<Candidate> exact = new ArrayList<>();
		List<Candidate> similar = new ArrayList<>();
		Set<List<Object>> signatures = new HashSet<>();
		for (Method method : methods(type)) {
			boolean sameName = method.getName().equals(generatedName(name));
			if (sameName || simplified(method.getName()).equals(simplified(name))) {
				Candidate candidate = candidate(method, type, rpc);
				// The first is the most specific one; an overridden generic method is no
				// rival
				if (candidate != null && signatures.add(signature(method, type))) {
					(sameName ? exact : similar).add(candidate);
				}
			}
		}
		return exact.isEmpty() ? similar : exact;
	}

	private static List<Object> signature(Method method, Class<?> type) {
		List<Object> signature = new ArrayList<>();
		signature.add(method.getName());
		for (int i = 0; i < method.getParameterCount(); i++) {
			signature.add(ResolvableType.forMethodParameter(method, i, type).toClass());
		}
		return signature;
	}

	/**
	 * Whether the class binds its methods to RPCs itself. What a generated base class
	 * binds follows from the names; a method written by hand can bind anything.
	 */
	static boolean bindsItself(Class<?> type) {
		Method bind = ReflectionUtils.findMethod(type, "bindService");
		return bind != null && !Modifier.isFinal(bind.getModifiers());
	}

	/** All methods that a class and its superclasses declare. */
	static List<Method> allMethods(Class<?> type) {
		List<Method> all = new ArrayList<>();
		for (Class<?> current = type; current != null && current != Object.class; current = current.getSuperclass()) {
			all.addAll(Arrays.asList(current.getDeclaredMethods()));
		}
		all.removeIf((method) -> method.isBridge() || method.isSynthetic());
		return all;
	}

	/** The methods of a class that may be bound to an RPC. */
	static List<Method> methods(Class<?> type) {
		return Arrays.stream(ReflectionUtils.getUniqueDeclaredMethods(type,
				(method) -> !method.isBridge() && !method.isSynthetic() && !Modifier.isStatic(method.getModifiers())
						&& !Modifier.isPrivate(method.getModifiers()) && method.getDeclaringClass() != Object.class))
			.toList();
	}

	/** What protoc-gen-grpc-java makes of the name of an RPC. */
	static String generatedName(String rpcName) {
		StringBuilder name = new StringBuilder(rpcName.length());
		boolean afterUnderscore = false;
		for (int i = 0; i < rpcName.length(); i++) {
			char c = rpcName.charAt(i);
			if (i == 0) {
				name.append(Character.toLowerCase(c));
			}
			else if (c == '_') {
				afterUnderscore = true;
			}
			else {
				name.append(afterUnderscore ? Character.toUpperCase(c) : c);
				afterUnderscore = false;
			}
		}
		return SourceVersion.isKeyword(name) ? name.append('_').toString() : name.toString();
	}

	// Generators for other languages and libraries disagree in letter case and
	// underscores
	private static String simplified(String name) {
		return name.replace("_", "").toLowerCase(Locale.ROOT);
	}

	private static @Nullable Candidate candidate(Method method, Class<?> type, MethodDescriptor<?, ?> rpc) {
		Class<?>[] parameters = method.getParameterTypes();
		if (parameters.length == 0 || parameters.length > 2) {
			return null;
		}
		boolean second = parameters.length == 2;
		boolean suspending = second && parameters[1].getName().equals(CONTINUATION);
		boolean observed = second && StreamObserver.class.isAssignableFrom(parameters[1]);
		ResolvableType first = ResolvableType.forMethodParameter(method, 0, type);
		boolean observer = StreamObserver.class.isAssignableFrom(first.toClass());
		Class<?> request = requestType(rpc);
		if (!rpc.getType().clientSendsOneMessage()) {
			if (observer && !second && StreamObserver.class.isAssignableFrom(method.getReturnType())) {
				return new Candidate(method, true, false);
			}
			return (!observer && (!second || suspending) && carries(first, request))
					? new Candidate(method, false, false) : null;
		}
		if (observer) {
			return null;
		}
		if ((!second || suspending) && first.hasGenerics() && carries(first, request)) {
			return new Candidate(method, false, false);
		}
		if ((request == null || first.toClass().isAssignableFrom(request)) && (observed || suspending || !second)) {
			return new Candidate(method, observed, true);
		}
		return null;
	}

	private static @Nullable Class<?> requestType(MethodDescriptor<?, ?> rpc) {
		return (rpc.getRequestMarshaller() instanceof MethodDescriptor.ReflectableMarshaller<?> marshaller)
				? marshaller.getMessageClass() : null;
	}

	/** Whether a parameter is a stream or a future of messages. */
	private static boolean carries(ResolvableType parameter, @Nullable Class<?> request) {
		if (!parameter.hasGenerics()) {
			return false;
		}
		Class<?> element = parameter.getGeneric(0).resolve();
		return request == null || element == null || element.isAssignableFrom(request);
	}

	private static @Nullable Candidate choose(List<Candidate> candidates, SecuredMethod rpc,
			Predicate<Method> annotated) {
		if (candidates.size() < 2) {
			return candidates.isEmpty() ? null : candidates.get(0);
		}
		List<Candidate> withAnnotations = candidates.stream()
			.filter((candidate) -> annotated.test(candidate.method()))
			.toList();
		if (withAnnotations.isEmpty()) {
			return candidates.stream().filter(Candidate::generated).findFirst().orElse(candidates.get(0));
		}
		Candidate only = withAnnotations.get(0);
		boolean certain = withAnnotations.size() == 1 && candidates.stream()
			.allMatch((candidate) -> candidate.equals(only) || candidate.isInheritedFromAbove(only));
		if (!certain) {
			throw new UnenforceableAnnotationException(
					"Several methods may implement " + rpc.fullName() + ", and security annotations are on some: "
							+ candidates.stream()
								.map((candidate) -> describe(candidate.method()))
								.collect(Collectors.joining(", "))
							+ ".",
					"Give the methods that do not implement it another name, or make them private.");
		}
		return only;
	}

	/** The method that expressions are evaluated about, also if there is none. */
	Method methodOrBinding() {
		if (this.method != null) {
			return this.method;
		}
		return Objects.requireNonNull(ReflectionUtils.findMethod(BindableService.class, "bindService"), "bindService");
	}

	/** Where the annotations stand, for people to read. */
	String describe() {
		return (this.method != null) ? describe(this.method, this.type) : this.type.getName();
	}

	static String describe(Method method) {
		return describe(method, method.getDeclaringClass());
	}

	private static String describe(Method method, Class<?> type) {
		return type.getName() + "." + method.getName()
				+ Arrays.stream(method.getGenericParameterTypes())
					.map(Type::getTypeName)
					.map((name) -> name.replaceAll("[\\w.]+\\.", ""))
					.collect(Collectors.joining(", ", "(", ")"));
	}

	/**
	 * A method that may implement the RPC.
	 *
	 * @param method the method
	 * @param generated whether it has the signature of protoc-gen-grpc-java
	 * @param takesMessage whether its first parameter is the message
	 */
	private record Candidate(Method method, boolean generated, boolean takesMessage) {

		/** Reactor's base classes have two overloads, of which one calls the other. */
		boolean isInheritedFromAbove(Candidate other) {
			Class<?> declaring = this.method.getDeclaringClass();
			return declaring != other.method.getDeclaringClass()
					&& declaring.isAssignableFrom(other.method.getDeclaringClass());
		}

	}

}
