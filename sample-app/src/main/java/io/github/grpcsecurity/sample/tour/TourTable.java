package io.github.grpcsecurity.sample.tour;

import java.util.List;
import java.util.function.Function;

/** Prints the rows of a tour as a table that a terminal shows well. */
final class TourTable {

	private TourTable() {
	}

	static String format(List<Tour.Row> rows) {
		int call = width(rows, "call", Tour.Row::call);
		int credentials = width(rows, "credentials", Tour.Row::credentials);
		int expected = width(rows, "expected", Tour.Row::expected);
		String format = "%s %-" + call + "s  %-" + credentials + "s  %-" + expected + "s  %s%n";
		StringBuilder table = new StringBuilder();
		table.append(String.format(format, " ", "call", "credentials", "expected", "got"));
		for (Tour.Row row : rows) {
			table.append(String.format(format, row.asExpected() ? " " : "!", row.call(), row.credentials(),
					row.expected(), row.got()));
		}
		return table.toString();
	}

	private static int width(List<Tour.Row> rows, String title, Function<Tour.Row, String> column) {
		return rows.stream().map(column).mapToInt(String::length).reduce(title.length(), Math::max);
	}

}
