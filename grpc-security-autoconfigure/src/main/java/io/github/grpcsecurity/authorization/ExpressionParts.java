package io.github.grpcsecurity.authorization;

import java.util.ArrayList;
import java.util.List;

import org.springframework.expression.Expression;
import org.springframework.expression.spel.SpelNode;
import org.springframework.expression.spel.SpelParserConfiguration;
import org.springframework.expression.spel.ast.OpAnd;
import org.springframework.expression.spel.ast.SpelNodeImpl;
import org.springframework.expression.spel.standard.SpelExpression;

/**
 * Takes expressions apart that are joined by {@code and}. All parts have to hold for the
 * whole to hold, in whatever order they are asked.
 */
final class ExpressionParts {

	private ExpressionParts() {
	}

	/**
	 * The parts of an expression.
	 * @param expression the expression
	 * @return its parts, in order; itself if it has none
	 */
	static List<Expression> of(Expression expression) {
		if (!(expression instanceof SpelExpression spel) || !(spel.getAST() instanceof OpAnd)) {
			return List.of(expression);
		}
		List<Expression> parts = new ArrayList<>();
		collect(spel.getAST(), parts);
		return parts;
	}

	private static void collect(SpelNode node, List<Expression> parts) {
		if (node instanceof OpAnd) {
			for (int i = 0; i < node.getChildCount(); i++) {
				collect(node.getChild(i), parts);
			}
		}
		else {
			parts.add(new SpelExpression(node.toStringAST(), (SpelNodeImpl) node, new SpelParserConfiguration()));
		}
	}

}
