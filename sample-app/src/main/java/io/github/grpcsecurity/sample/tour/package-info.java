/**
 * A client that calls the bank in every way that matters and compares what it gets with
 * what it should get.
 */
@NullMarked
package io.github.grpcsecurity.sample.tour;

import org.jspecify.annotations.NullMarked;
