/** A small bank that uses every feature of gRPC Security. */
@NullMarked
package io.github.grpcsecurity.sample;

import org.jspecify.annotations.NullMarked;
