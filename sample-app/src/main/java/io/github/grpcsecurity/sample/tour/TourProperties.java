package io.github.grpcsecurity.sample.tour;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings for the tour of the sample.
 *
 * @param enabled Whether to make the calls of the tour after the start.
 * @param exit Whether to stop after the tour, with an exit code other than 0 if a call
 * got something else than expected.
 */
@ConfigurationProperties("sample.tour")
record TourProperties(@DefaultValue("true") boolean enabled, @DefaultValue("false") boolean exit) {

}
