package io.github.grpcsecurity.propagation;

import io.github.grpcsecurity.server.SecuredCall;

import org.springframework.core.task.TaskDecorator;

/**
 * Lets tasks that the handler of a call hands to one of Spring's executors, as with
 * {@code @Async}, run as the caller of that call. Other tasks stay as they are.
 * <p>
 * A task may go on after its call: the {@link CallerContext#detached() end of the call}
 * does not reach it. Thread-safe.
 *
 * @since 0.1.0
 */
public final class CallerTaskDecorator implements TaskDecorator {

	@Override
	public Runnable decorate(Runnable task) {
		if (SecuredCall.current() == null) {
			return task;
		}
		return CallerContext.capture().detached().runnable(task);
	}

}
