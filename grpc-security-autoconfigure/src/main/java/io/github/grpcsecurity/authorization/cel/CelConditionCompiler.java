package io.github.grpcsecurity.authorization.cel;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import dev.cel.bundle.Cel;
import dev.cel.bundle.CelBuilder;
import dev.cel.bundle.CelFactory;
import dev.cel.checker.CelStandardDeclarations;
import dev.cel.common.CelAbstractSyntaxTree;
import dev.cel.common.CelIssue;
import dev.cel.common.CelOptions;
import dev.cel.common.CelValidationException;
import dev.cel.common.CelValidationResult;
import dev.cel.common.ast.CelConstant;
import dev.cel.common.ast.CelExpr;
import dev.cel.common.ast.CelExpr.ExprKind.Kind;
import dev.cel.common.navigation.CelNavigableAst;
import dev.cel.common.navigation.CelNavigableExpr;
import dev.cel.common.types.CelKind;
import dev.cel.common.types.CelType;
import dev.cel.common.types.StructTypeReference;
import dev.cel.compiler.CelCompiler;
import dev.cel.compiler.CelCompilerBuilder;
import dev.cel.compiler.CelCompilerFactory;
import dev.cel.parser.CelStandardMacro;
import dev.cel.runtime.CelEvaluationException;
import io.github.grpcsecurity.authorization.ConditionCompiler;
import io.github.grpcsecurity.authorization.InvalidConditionException;
import io.github.grpcsecurity.authorization.RuleCondition;
import io.grpc.MethodDescriptor;
import io.grpc.protobuf.ProtoMethodDescriptorSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Compiles the conditions of rules from the Common Expression Language (cel.dev). The
 * message has the type that the proto file of the method gives it, so a field that does
 * not exist is found when the server starts.
 * <p>
 * What stands between the {@code &&} of a condition and does not look at the message is
 * asked once, when the call starts; the rest is asked for each message.
 * <p>
 * A condition has at most 4 KiB and 32 levels, runs through its loops at most 1,000
 * times, and a regular expression in it compiles to at most 10,000 instructions.
 * Thread-safe.
 *
 * @since 0.1.0
 */
public final class CelConditionCompiler implements ConditionCompiler {

	private static final int MAX_BYTES = 4096;

	private static final int MAX_DEPTH = 32;

	private static final int MAX_ITERATIONS = 1000;

	private static final int MAX_REGEX_SIZE = 10_000;

	private static final Set<CelKind> TEXTS = EnumSet.of(CelKind.STRING, CelKind.INT, CelKind.UINT, CelKind.BOOL,
			CelKind.DYN);

	private static final Set<CelKind> SEARCHED = EnumSet.of(CelKind.STRING, CelKind.BYTES);

	private static final Set<CelKind> LISTS = EnumSet.of(CelKind.LIST, CelKind.MAP, CelKind.DYN, CelKind.ANY);

	private static final CelOptions OPTIONS = CelOptions.current()
		.maxExpressionCodePointSize(MAX_BYTES)
		.maxParseRecursionDepth(MAX_DEPTH)
		.comprehensionMaxIterations(MAX_ITERATIONS)
		.maxRegexProgramSize(MAX_REGEX_SIZE)
		.enableRegexPartialMatch(true)
		.enableHeterogeneousNumericComparisons(true)
		.errorOnIntWrap(true)
		.errorOnDuplicateMapKeys(true)
		.build();

	private final Map<Optional<Descriptor>, Cel> environments = new ConcurrentHashMap<>();

	private final Map<Vocabulary, CelCompiler> checkers = new ConcurrentHashMap<>();

	private final Map<String, CelAbstractSyntaxTree> parsed = new ConcurrentHashMap<>();

	private final Map<Key, RuleCondition> compiled = new ConcurrentHashMap<>();

	private final AddressRanges ranges = new AddressRanges();

	private volatile boolean runs;

	/** What a condition was compiled for. */
	private record Key(String condition, @Nullable Descriptor message) {
	}

	/** What conditions about a type of message call. */
	private record Vocabulary(@Nullable Descriptor message, Set<String> functions) {
	}

	/** Creates a compiler. */
	public CelConditionCompiler() {
	}

	/** The environment for a type of message. */
	private Cel environment(@Nullable Descriptor message) {
		return this.environments.computeIfAbsent(Optional.ofNullable(message), (type) -> cel(type.orElse(null)));
	}

	private Cel cel(@Nullable Descriptor message) {
		CelBuilder builder = CelFactory.standardCelBuilder()
			.setOptions(OPTIONS)
			.setStandardMacros(CelStandardMacro.STANDARD_MACROS)
			.addFunctionDeclarations(AddressRanges.DECLARATION)
			.addFunctionBindings(this.ranges.binding());
		Variables.declared().forEach(builder::addVar);
		if (message != null) {
			builder.addMessageTypes(message)
				.addVar(Variables.MESSAGE, StructTypeReference.create(message.getFullName()));
		}
		return builder.build();
	}

	/**
	 * What checks a condition. CEL builds the declarations of all standard functions anew
	 * for every condition it checks, which takes milliseconds, so this knows only those
	 * that the condition calls.
	 */
	private CelCompiler checker(@Nullable Descriptor message, CelAbstractSyntaxTree tree) {
		Set<String> functions = nodes(tree).stream()
			.filter((node) -> node.getKind() == Kind.CALL)
			.map((node) -> node.expr().call().function())
			.collect(Collectors.toUnmodifiableSet());
		return this.checkers.computeIfAbsent(new Vocabulary(message, functions), CelConditionCompiler::checker);
	}

	private static CelCompiler checker(Vocabulary vocabulary) {
		CelCompilerBuilder builder = CelCompilerFactory.standardCelCompilerBuilder()
			.setOptions(OPTIONS)
			.setStandardEnvironmentEnabled(false)
			.setStandardDeclarations(CelStandardDeclarations.newBuilder()
				.filterFunctions((function, overload) -> vocabulary.functions().contains(function.functionName()))
				.build())
			.addFunctionDeclarations(AddressRanges.DECLARATION);
		Variables.declared().forEach(builder::addVar);
		Descriptor message = vocabulary.message();
		if (message != null) {
			builder.addMessageTypes(message)
				.addVar(Variables.MESSAGE, StructTypeReference.create(message.getFullName()));
		}
		return builder.build();
	}

	@Override
	public void check(String condition) {
		try {
			if (!this.runs) {
				// One that is nothing special shows whether CEL runs at all
				environment(null).compile("'a' in auth.authorities");
				this.runs = true;
			}
		}
		catch (LinkageError ex) {
			throw new InvalidConditionException("The version of dev.cel:cel on the class path does not run on its"
					+ " version of protobuf-java (" + ex + "). Use the version that grpc-security-starter brings, or a"
					+ " newer protobuf-java.");
		}
		parse(condition);
	}

	private CelAbstractSyntaxTree parse(String condition) {
		CelAbstractSyntaxTree known = this.parsed.get(condition);
		if (known != null) {
			return known;
		}
		if (condition.isBlank()) {
			throw new InvalidConditionException("It is empty. Write a condition in CEL, or remove it.");
		}
		if (condition.getBytes(StandardCharsets.UTF_8).length > MAX_BYTES) {
			throw new InvalidConditionException("It is longer than 4 KiB. Decide in a bean that access refers to.");
		}
		CelAbstractSyntaxTree tree = tree(environment(null).parse(condition), "It is not a condition in CEL: ", null);
		this.parsed.put(condition, tree);
		return tree;
	}

	private static CelAbstractSyntaxTree tree(CelValidationResult result, String prefix, @Nullable Descriptor message) {
		try {
			return result.getAst();
		}
		catch (CelValidationException ex) {
			throw new InvalidConditionException(prefix + describe(result, message));
		}
	}

	private static String describe(CelValidationResult result, @Nullable Descriptor message) {
		CelIssue first = result.getErrors().get(0);
		String description = first.getMessage() + " (line " + first.getSourceLocation().getLine() + ", column "
				+ (first.getSourceLocation().getColumn() + 1) + ").";
		if (first.getMessage().startsWith("undefined field") && message != null) {
			return description + " The fields of " + message.getFullName() + " are "
					+ message.getFields().stream().map(FieldDescriptor::getName).collect(Collectors.joining(", "))
					+ ".";
		}
		if (first.getMessage().startsWith("undeclared reference")) {
			return description + " There are " + ((message != null) ? "message, " : "")
					+ String.join(", ", Variables.declared().keySet()) + ".";
		}
		return description;
	}

	@Override
	public RuleCondition compile(String condition, MethodDescriptor<?, ?> method) {
		CelAbstractSyntaxTree parsed = parse(condition);
		Descriptor message = null;
		if (namesMessage(parsed)) {
			message = message(method);
			if (message == null) {
				throw new InvalidConditionException("It looks at the message, but " + method.getFullMethodName()
						+ " has no descriptor that tells what is in its messages. Remove"
						+ " 'message' from the condition, or write @PreAuthorize with #request on the method.");
			}
		}
		Key key = new Key(condition, message);
		RuleCondition known = this.compiled.get(key);
		if (known == null) {
			known = compile(parsed, message, method.getFullMethodName());
			this.compiled.put(key, known);
		}
		return known;
	}

	/**
	 * Compiles an expression whose value is a text. It may use what conditions use, but
	 * not the message, and is bounded as they are.
	 * @param expression the expression as it is written
	 * @return the compiled expression
	 * @throws InvalidConditionException if it is none, or its value is no text
	 */
	public CelText compileText(String expression) {
		if (expression.getBytes(StandardCharsets.UTF_8).length > MAX_BYTES) {
			throw new InvalidConditionException("It is longer than 4 KiB.");
		}
		check("true");
		Cel cel = environment(null);
		CelAbstractSyntaxTree tree = tree(cel.compile(expression), "It is not an expression in CEL: ", null);
		CelType type = tree.getResultType();
		if (!TEXTS.contains(type.kind())) {
			throw new InvalidConditionException("It says " + type.name() + ", but it has to be a text.");
		}
		checkPatterns(tree);
		boolean needsIdentity = tree.getReferenceMap()
			.values()
			.stream()
			.anyMatch((reference) -> reference.name().startsWith(Variables.IDENTITY));
		return new CelText(part(cel, tree), needsIdentity);
	}

	private RuleCondition compile(CelAbstractSyntaxTree parsed, @Nullable Descriptor message, String method) {
		Cel cel = environment(message);
		CelAbstractSyntaxTree tree = tree(checker(message, parsed).check(parsed), "It does not fit " + method + ": ",
				message);
		CelKind result = tree.getResultType().kind();
		if (result != CelKind.BOOL && result != CelKind.DYN) {
			throw new InvalidConditionException("It says " + tree.getResultType().name()
					+ ", but a condition says true or false. Compare it with something.");
		}
		checkPatterns(tree);
		checkRanges(tree);
		List<CelCondition.Part> atStart = new ArrayList<>();
		List<CelCondition.Part> onMessages = new ArrayList<>();
		for (CelExpr conjunct : conjuncts(tree.getExpr(), new ArrayList<>())) {
			CelAbstractSyntaxTree part = CelAbstractSyntaxTree.newCheckedAst(conjunct, tree.getSource(),
					tree.getReferenceMap(), tree.getTypeMap());
			(namesMessage(part) ? onMessages : atStart).add(part(cel, part));
		}
		return new CelCondition(atStart, onMessages);
	}

	private static List<CelExpr> conjuncts(CelExpr expression, List<CelExpr> found) {
		if (expression.getKind() == Kind.CALL && expression.call().function().equals("_&&_")) {
			expression.call().args().forEach((argument) -> conjuncts(argument, found));
		}
		else {
			found.add(expression);
		}
		return found;
	}

	private static CelCondition.Part part(Cel cel, CelAbstractSyntaxTree tree) {
		List<CelNavigableExpr> lists = nodes(tree).stream().filter((node) -> callers(node, tree, LISTS)).toList();
		List<CelNavigableExpr> texts = nodes(tree).stream().filter((node) -> callers(node, tree, SEARCHED)).toList();
		try {
			return new CelCondition.Part(cel.createProgram(tree), names(tree, Variables.HEADERS),
					new WorkLimit.Bounds(!lists.isEmpty(), lists.stream().anyMatch(CelConditionCompiler::inLoop),
							texts.stream().anyMatch(CelConditionCompiler::inLoop), searches(tree)));
		}
		catch (CelEvaluationException ex) {
			throw new InvalidConditionException("It cannot be prepared: " + ex.getMessage() + ".");
		}
	}

	/**
	 * Whether texts of the message are looked for. That takes the length of the one times
	 * the length of the other.
	 */
	private static boolean searches(CelAbstractSyntaxTree tree) {
		boolean loops = nodes(tree).stream()
			.anyMatch((node) -> node.getKind() == Kind.COMPREHENSION && nodes(node.expr().comprehension().iterRange())
				.anyMatch((range) -> named(range, Variables.MESSAGE)));
		return nodes(tree).stream()
			.filter((node) -> node.getKind() == Kind.CALL && node.expr().call().function().equals("contains"))
			.map((node) -> node.expr().call().args())
			.filter((arguments) -> !arguments.isEmpty())
			.flatMap((arguments) -> nodes(arguments.get(arguments.size() - 1)))
			.anyMatch((node) -> named(node, Variables.MESSAGE) || (loops && loopVariable(node, tree)));
	}

	private static boolean loopVariable(CelNavigableExpr node, CelAbstractSyntaxTree tree) {
		return node.getKind() == Kind.IDENT && !Variables.declared().containsKey(node.expr().ident().name())
				&& tree.getReference(node.id())
					.filter((reference) -> Variables.declared().containsKey(reference.name()))
					.isEmpty();
	}

	private static Stream<CelNavigableExpr> nodes(CelExpr expression) {
		return CelNavigableExpr.fromExpr(expression).allNodes();
	}

	/** Whether a node names a value whose length the caller decides. */
	private static boolean callers(CelNavigableExpr node, CelAbstractSyntaxTree tree, Set<CelKind> kinds) {
		CelExpr root = node.expr();
		while (root.getKind() == Kind.SELECT) {
			root = root.select().operand();
		}
		if (root.getKind() != Kind.IDENT || (node.getKind() != Kind.SELECT && node.getKind() != Kind.IDENT)) {
			return false;
		}
		String variable = root.ident().name();
		Optional<CelType> type = tree.getType(node.id());
		return (variable.endsWith(Variables.MESSAGE) || variable.endsWith(Variables.CLAIMS))
				&& (type.isEmpty() || kinds.contains(type.get().kind()));
	}

	/** Whether a node is evaluated again and again. */
	private static boolean inLoop(CelNavigableExpr node) {
		CelNavigableExpr child = node;
		Optional<CelNavigableExpr> parent = child.parent();
		while (parent.isPresent()) {
			if (parent.get().getKind() == Kind.COMPREHENSION
					&& parent.get().expr().comprehension().iterRange().id() != child.id()) {
				return true;
			}
			child = parent.get();
			parent = child.parent();
		}
		return false;
	}

	private static boolean namesMessage(CelAbstractSyntaxTree tree) {
		return names(tree, Variables.MESSAGE);
	}

	private static boolean names(CelAbstractSyntaxTree tree, String variable) {
		return nodes(tree).stream().anyMatch((node) -> named(node, variable) || refersTo(tree, node.id(), variable));
	}

	/**
	 * Counts variables of loops as well: better to ask too late than without a message.
	 */
	private static boolean named(CelNavigableExpr node, String variable) {
		return node.getKind() == Kind.IDENT
				&& (node.expr().ident().name().equals(variable) || node.expr().ident().name().equals("." + variable));
	}

	private static boolean refersTo(CelAbstractSyntaxTree tree, long id, String variable) {
		return tree.getReference(id).filter((reference) -> reference.name().equals(variable)).isPresent();
	}

	private static List<CelNavigableExpr> nodes(CelAbstractSyntaxTree tree) {
		return CelNavigableAst.fromAst(tree).getRoot().allNodes().toList();
	}

	/**
	 * Callers must not bring the pattern as well as the text: patterns are the author's,
	 * and they are tried when the server starts.
	 */
	private static void checkPatterns(CelAbstractSyntaxTree tree) {
		for (CelNavigableExpr node : nodes(tree)) {
			if (node.getKind() != Kind.CALL || !node.expr().call().function().equals("matches")) {
				continue;
			}
			List<CelExpr> arguments = node.expr().call().args();
			CelExpr pattern = arguments.get(arguments.size() - 1);
			if (pattern.getKind() != Kind.CONSTANT || pattern.constant().getKind() != CelConstant.Kind.STRING_VALUE) {
				throw new InvalidConditionException("It matches against a pattern that is not written out. Write the"
						+ " pattern as a text in quotes.");
			}
			checkPattern(pattern.constant().stringValue());
		}
	}

	private void checkRanges(CelAbstractSyntaxTree tree) {
		for (CelNavigableExpr node : nodes(tree)) {
			if (node.getKind() != Kind.CALL || !node.expr().call().function().equals(AddressRanges.FUNCTION)) {
				continue;
			}
			CelExpr range = node.expr().call().args().get(1);
			if (range.getKind() != Kind.CONSTANT || range.constant().getKind() != CelConstant.Kind.STRING_VALUE) {
				throw new InvalidConditionException("It compares an address with a block that is not written out. Write"
						+ " the block as a text in quotes, such as '10.0.0.0/8'.");
			}
			this.ranges.add(range.constant().stringValue());
		}
	}

	private static void checkPattern(String pattern) {
		try {
			if (Pattern.compile(pattern).programSize() > MAX_REGEX_SIZE) {
				throw new InvalidConditionException(
						"The pattern '" + pattern + "' compiles to more than 10000 instructions. Use a simpler one.");
			}
		}
		catch (PatternSyntaxException ex) {
			throw new InvalidConditionException(
					"The pattern '" + pattern + "' is not a regular expression of RE2: " + ex.getDescription() + ".");
		}
	}

	private static @Nullable Descriptor message(MethodDescriptor<?, ?> method) {
		if (method.getSchemaDescriptor() instanceof ProtoMethodDescriptorSupplier supplier) {
			return supplier.getMethodDescriptor().getInputType();
		}
		if (method.getRequestMarshaller() instanceof MethodDescriptor.PrototypeMarshaller<?> marshaller
				&& marshaller.getMessagePrototype() instanceof Message prototype) {
			return prototype.getDescriptorForType();
		}
		return null;
	}

}
