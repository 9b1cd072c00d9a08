package io.github.grpcsecurity.authorization;

import java.lang.annotation.Annotation;
import java.lang.reflect.AnnotatedElement;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

import jakarta.annotation.security.DenyAll;
import jakarta.annotation.security.PermitAll;
import jakarta.annotation.security.RolesAllowed;
import org.jspecify.annotations.Nullable;

import org.springframework.core.annotation.AnnotationConfigurationException;
import org.springframework.core.annotation.MergedAnnotation;
import org.springframework.core.annotation.MergedAnnotations;
import org.springframework.core.annotation.MergedAnnotations.SearchStrategy;
import org.springframework.core.annotation.RepeatableContainers;
import org.springframework.core.convert.support.DefaultConversionService;
import org.springframework.security.access.annotation.Secured;
import org.springframework.security.access.prepost.PostAuthorize;
import org.springframework.security.access.prepost.PostFilter;
import org.springframework.security.access.prepost.PreAuthorize;
import org.springframework.security.access.prepost.PreFilter;
import org.springframework.security.authorization.method.AuthorizeReturnObject;
import org.springframework.security.core.annotation.AnnotationTemplateExpressionDefaults;
import org.springframework.security.core.annotation.ExpressionTemplateValueProvider;
import org.springframework.security.core.annotation.SecurityAnnotationScanner;
import org.springframework.security.core.annotation.SecurityAnnotationScanners;
import org.springframework.util.ClassUtils;
import org.springframework.util.PropertyPlaceholderHelper;
import org.springframework.util.ReflectionUtils;

/**
 * Reads the security annotations that apply to a method, the way Spring Security does:
 * those of the method before those of its class, inherited ones and meta-annotations
 * included.
 * <p>
 * In one point this goes further. Annotations on the class of the service, and on methods
 * of its interfaces, also apply to methods which that class inherits: Spring Security
 * asks only the class that declares the method.
 */
final class MethodAnnotations {

	private static final boolean JSR250_PRESENT = ClassUtils.isPresent("jakarta.annotation.security.RolesAllowed",
			MethodAnnotations.class.getClassLoader());

	private static final List<Class<? extends Annotation>> UNENFORCEABLE = List.of(PostAuthorize.class, PreFilter.class,
			PostFilter.class, AuthorizeReturnObject.class);

	private final AnnotationTemplateExpressionDefaults templateDefaults;

	private final SecurityAnnotationScanner<PreAuthorize> preAuthorize;

	MethodAnnotations(AnnotationTemplateExpressionDefaults templateDefaults) {
		this.templateDefaults = templateDefaults;
		this.preAuthorize = SecurityAnnotationScanners.requireUnique(PreAuthorize.class, templateDefaults);
	}

	/**
	 * What is written on a method and its class.
	 * @param method the method
	 * @return the annotations
	 * @throws UnenforceableAnnotationException if there is one that would not do what it
	 * says
	 */
	Found on(JavaMethod method) {
		try {
			refuseUnenforceable(method);
			Secured securedFound = find(Secured.class, method);
			return new Found(expression(method),
					(securedFound != null) ? new LinkedHashSet<>(List.of(securedFound.value())) : null,
					JSR250_PRESENT ? Jsr250.on(method) : null);
		}
		catch (AnnotationConfigurationException ex) {
			throw new UnenforceableAnnotationException("It is not clear which security annotation applies to "
					+ method.describe() + ": " + ex.getMessage(), "Put the one that is meant on the method itself.",
					ex);
		}
	}

	/** Whether an API key alone is not enough. */
	boolean sensitive(JavaMethod method) {
		try {
			return find(SensitiveMethod.class, method) != null;
		}
		catch (AnnotationConfigurationException ex) {
			// Several of them say the same
			return true;
		}
	}

	private static void refuseUnenforceable(JavaMethod method) {
		for (Class<? extends Annotation> type : UNENFORCEABLE) {
			if (find(type, method) != null) {
				throw new UnenforceableAnnotationException(
						"@" + type.getSimpleName() + " applies to " + method.describe() + ", which implements "
								+ method.rpc().fullName()
								+ ", but it cannot be enforced there: a gRPC method returns nothing that could be"
								+ " checked or filtered, and it takes no collection.",
						"Use @PreAuthorize, which also sees the message as #request, or move @" + type.getSimpleName()
								+ " to a bean that the service calls.");
			}
		}
	}

	/** Whether a method itself, or one that it overrides, has a security annotation. */
	static boolean annotated(Method method) {
		return annotated(method, List.of(PreAuthorize.class, Secured.class, SensitiveMethod.class))
				|| annotated(method, UNENFORCEABLE) || (JSR250_PRESENT && annotated(method, Jsr250.TYPES));
	}

	/**
	 * Whether a class, or one that it extends or implements, has a security annotation.
	 */
	static boolean annotated(Class<?> type) {
		MergedAnnotations annotations = MergedAnnotations.from(type, SearchStrategy.TYPE_HIERARCHY,
				RepeatableContainers.none());
		return annotations.isPresent(PreAuthorize.class) || annotations.isPresent(Secured.class)
				|| annotations.isPresent(SensitiveMethod.class)
				|| (JSR250_PRESENT && Jsr250.TYPES.stream().anyMatch(annotations::isPresent));
	}

	private static <A extends Annotation> @Nullable A find(Class<A> type, JavaMethod method) {
		A found = scan(SecurityAnnotationScanners.requireUnique(type), List.of(type), method);
		if (found != null) {
			return found;
		}
		MergedAnnotation<?> onClass = onClass(method.type(), List.of(type));
		return (onClass != null) ? type.cast(onClass.synthesize()) : null;
	}

	/** The annotation on the method itself, or on what it overrides or implements. */
	private static <A extends Annotation> @Nullable A scan(SecurityAnnotationScanner<A> scanner,
			List<Class<? extends Annotation>> types, JavaMethod method) {
		Method java = method.method();
		if (java == null) {
			return null;
		}
		if (annotated(java, types)) {
			return scanner.scan(java, method.type());
		}
		Set<A> ofInterfaces = new HashSet<>();
		for (Class<?> implemented : ClassUtils.getAllInterfacesForClass(method.type())) {
			Method declared = ReflectionUtils.findMethod(implemented, java.getName(), java.getParameterTypes());
			A found = (declared != null && annotated(declared, types)) ? scanner.scan(declared, method.type()) : null;
			if (found != null) {
				ofInterfaces.add(found);
			}
		}
		if (ofInterfaces.size() > 1) {
			throw new AnnotationConfigurationException("found " + ofInterfaces);
		}
		return ofInterfaces.isEmpty() ? null : ofInterfaces.iterator().next();
	}

	private static boolean annotated(Method method, List<Class<? extends Annotation>> types) {
		MergedAnnotations annotations = MergedAnnotations.from(method, SearchStrategy.TYPE_HIERARCHY,
				RepeatableContainers.none());
		return types.stream().anyMatch(annotations::isPresent);
	}

	private @Nullable String expression(JavaMethod method) {
		PreAuthorize found = scan(this.preAuthorize, List.of(PreAuthorize.class), method);
		if (found != null) {
			return found.value();
		}
		MergedAnnotation<?> onClass = onClass(method.type(), List.of(PreAuthorize.class));
		return (onClass != null) ? withoutPlaceholders(onClass) : null;
	}

	/** Fills in what a meta-annotation leaves to those who use it. */
	private String withoutPlaceholders(MergedAnnotation<?> annotation) {
		String expression = annotation.getString(MergedAnnotation.VALUE);
		Map<String, Object> attributes = new HashMap<>();
		MergedAnnotation<?> source = annotation.getMetaSource();
		if (source == null) {
			return expression;
		}
		while (source != null) {
			attributes.putAll(source.asMap());
			source = source.getMetaSource();
		}
		return new PropertyPlaceholderHelper("{", "}", null, null, this.templateDefaults.isIgnoreUnknown())
			.replacePlaceholders(expression, (name) -> text(attributes.get(name)));
	}

	private static @Nullable String text(@Nullable Object attribute) {
		if (attribute instanceof ExpressionTemplateValueProvider provider) {
			return provider.getExpressionTemplateValue();
		}
		return (attribute instanceof Class<?> type) ? type.toString()
				: DefaultConversionService.getSharedInstance().convert(attribute, String.class);
	}

	/** The closest annotation of these types on a class or what it extends. */
	private static @Nullable MergedAnnotation<?> onClass(Class<?> type, List<Class<? extends Annotation>> types) {
		List<MergedAnnotation<?>> found = closest(type, types, new HashSet<>());
		if (found.size() > 1) {
			throw new AnnotationConfigurationException(
					"found " + found.stream().map(MergedAnnotation::synthesize).toList());
		}
		return found.isEmpty() ? null : found.get(0);
	}

	private static List<MergedAnnotation<?>> closest(@Nullable Class<?> type, List<Class<? extends Annotation>> types,
			Set<Class<?>> visited) {
		if (type == null || type == Object.class || !visited.add(type)) {
			return List.of();
		}
		List<MergedAnnotation<?>> found = new ArrayList<>();
		direct(type, types, found);
		if (found.isEmpty()) {
			found.addAll(closest(type.getSuperclass(), types, visited));
			for (Class<?> implemented : type.getInterfaces()) {
				found.addAll(closest(implemented, types, visited));
			}
		}
		return found;
	}

	private static void direct(AnnotatedElement element, List<Class<? extends Annotation>> types,
			List<MergedAnnotation<?>> found) {
		MergedAnnotations.from(element, SearchStrategy.DIRECT, RepeatableContainers.none())
			.stream()
			.filter((annotation) -> types.contains(annotation.getType()))
			.forEach(found::add);
	}

	/**
	 * What was found.
	 *
	 * @param expression the expression of {@code @PreAuthorize}
	 * @param authorities the authorities of {@code @Secured}, of which one is enough
	 * @param jsr250 what the annotations of JSR-250 say
	 */
	record Found(@Nullable String expression, @Nullable Set<String> authorities, @Nullable Roles jsr250) {
	}

	/**
	 * What the annotations of JSR-250 say.
	 *
	 * @param annotation the annotation, for people to read
	 * @param access whether all or none are allowed, where no role decides
	 * @param roles the roles, of which one is enough, where roles decide
	 */
	record Roles(String annotation, @Nullable Access access, Set<String> roles) {
	}

	/** Keeps classes away that need not be there. */
	private static final class Jsr250 {

		static final List<Class<? extends Annotation>> TYPES = List.of(DenyAll.class, PermitAll.class,
				RolesAllowed.class);

		private static final SecurityAnnotationScanner<Annotation> SCANNER = SecurityAnnotationScanners
			.requireUnique(TYPES);

		static @Nullable Roles on(JavaMethod method) {
			Annotation found = scan(SCANNER, TYPES, method);
			if (found == null) {
				MergedAnnotation<?> onClass = onClass(method.type(), TYPES);
				found = (onClass != null) ? onClass.synthesize() : null;
			}
			if (found instanceof DenyAll) {
				return new Roles("@DenyAll", Access.DENY, Set.of());
			}
			if (found instanceof PermitAll) {
				return new Roles("@PermitAll", Access.PERMIT, Set.of());
			}
			return (found instanceof RolesAllowed allowed)
					? new Roles("@RolesAllowed", null, new LinkedHashSet<>(List.of(allowed.value()))) : null;
		}

	}

}
