/**
 * Ends open calls when the credentials they were started with are good no more. Start
 * reading at {@link io.github.grpcsecurity.authentication.live.LiveCredentials}.
 */
@NullMarked
package io.github.grpcsecurity.authentication.live;

import org.jspecify.annotations.NullMarked;
