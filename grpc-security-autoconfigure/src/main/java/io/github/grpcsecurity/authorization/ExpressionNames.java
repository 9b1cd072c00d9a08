package io.github.grpcsecurity.authorization;

import java.util.LinkedHashSet;
import java.util.Set;

import org.springframework.expression.Expression;
import org.springframework.expression.spel.SpelNode;
import org.springframework.expression.spel.ast.BeanReference;
import org.springframework.expression.spel.ast.CompoundExpression;
import org.springframework.expression.spel.ast.FunctionReference;
import org.springframework.expression.spel.ast.MethodReference;
import org.springframework.expression.spel.ast.Projection;
import org.springframework.expression.spel.ast.PropertyOrFieldReference;
import org.springframework.expression.spel.ast.Selection;
import org.springframework.expression.spel.ast.VariableReference;
import org.springframework.expression.spel.standard.SpelExpression;

/**
 * The names that an expression uses, found without evaluating it.
 *
 * @param variables variables and functions, without {@code #root} and {@code #this}
 * @param beans beans referred to with {@code @name}
 * @param methods methods called on the root object
 * @param properties properties read from the root object
 * @param root whether the root object as a whole is handed to somebody
 */
record ExpressionNames(Set<String> variables, Set<String> beans, Set<String> methods, Set<String> properties,
		boolean root) {

	/**
	 * Reads the names in an expression.
	 * @param expression the expression
	 * @return the names; all there may be, if the expression is not one of Spring's
	 */
	static ExpressionNames of(Expression expression) {
		Collector collector = new Collector();
		if (expression instanceof SpelExpression spel) {
			collector.collect(spel.getAST(), true, false);
		}
		else {
			collector.root = true;
		}
		return new ExpressionNames(collector.variables, collector.beans, collector.methods, collector.properties,
				collector.root);
	}

	/**
	 * Whether somebody is asked who may be unable to answer: a bean, or a
	 * {@code PermissionEvaluator}.
	 */
	boolean asksOthers() {
		return this.root || !this.beans.isEmpty() || this.methods.contains("hasPermission");
	}

	private static final class Collector {

		private final Set<String> variables = new LinkedHashSet<>();

		private final Set<String> beans = new LinkedHashSet<>();

		private final Set<String> methods = new LinkedHashSet<>();

		private final Set<String> properties = new LinkedHashSet<>();

		private boolean root;

		/**
		 * Collects from a node and all below.
		 * @param node the node
		 * @param leading whether the node is evaluated by itself, not on the result of
		 * the one before
		 * @param element whether properties and methods are those of an element of a
		 * collection rather than of the root object
		 */
		void collect(SpelNode node, boolean leading, boolean element) {
			boolean onRoot = leading && !element;
			boolean inElement = element;
			if (node instanceof VariableReference) {
				variable(node.toStringAST().substring(1), element);
			}
			else if (node instanceof FunctionReference) {
				String text = node.toStringAST();
				this.variables.add(text.substring(1, text.indexOf('(')));
			}
			else if (node instanceof BeanReference) {
				this.beans.add(node.toStringAST().replaceAll("^[@&]|'", ""));
			}
			else if (node instanceof MethodReference method && onRoot) {
				this.methods.add(method.getName());
			}
			else if (node instanceof PropertyOrFieldReference property && onRoot) {
				this.properties.add(property.getName());
			}
			else if (node instanceof Projection || node instanceof Selection) {
				inElement = true;
			}
			for (int i = 0; i < node.getChildCount(); i++) {
				boolean first = !(node instanceof CompoundExpression) || (i == 0 && leading);
				collect(node.getChild(i), first, inElement);
			}
		}

		private void variable(String name, boolean element) {
			if (name.equals("root") || (name.equals("this") && !element)) {
				this.root = true;
			}
			else if (!name.equals("this")) {
				this.variables.add(name);
			}
		}

	}

}
