package io.github.grpcsecurity.server;

import java.util.List;
import java.util.concurrent.Executor;

import io.grpc.Context;
import io.grpc.ServerInterceptor;

import org.springframework.security.core.context.SecurityContext;

/**
 * What all calls of a server share.
 *
 * @param translator turns refusals and exceptions into statuses
 * @param executor continues calls whose decision had to be waited for
 * @param contextKeys where else the identity of the caller goes
 * @param peerResolvers find out on whose behalf a peer speaks
 * @param refusalObservers interceptors of the host that also see refused calls
 * @param handlerInterceptors prepare handlers for their caller
 * @param failures where checks that failed are logged
 */
record Pipeline(StatusTranslator translator, Executor executor, List<Context.Key<SecurityContext>> contextKeys,
		List<PeerResolver> peerResolvers, List<ServerInterceptor> refusalObservers,
		List<ServerInterceptor> handlerInterceptors, FailureLog failures) {

}
