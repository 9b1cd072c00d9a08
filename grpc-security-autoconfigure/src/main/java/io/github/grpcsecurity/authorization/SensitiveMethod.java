package io.github.grpcsecurity.authorization;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Inherited;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * An API key alone is not enough to call this: the caller must also present a token, a
 * certificate or a password. Who presents nothing else than API keys is refused with
 * {@code PERMISSION_DENIED}, who presents nothing at all with {@code UNAUTHENTICATED}.
 * <p>
 * It stands on the method of a service, on its class or on an annotation of your own, and
 * is found where Spring Security would find its annotations. It takes away and never
 * grants: a rule or another annotation still has to say who may call.
 *
 * @since 0.1.0
 */
@Documented
@Inherited
@Retention(RetentionPolicy.RUNTIME)
@Target({ ElementType.METHOD, ElementType.TYPE })
public @interface SensitiveMethod {

}
