"""
Measures and facts of Rust code from its syntax tree (tree-sitter), for difficulty, batching and refusals.

They never decide a verdict: the grammar accepts programs that rustc rejects, and rejects a few that rustc accepts.
Macros are not expanded: the tokens inside `println!(...)` or `macro_rules!` do not count.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import tree_sitter_rust
from tree_sitter import Language, Node, Parser, Query, QueryCursor

from evaluation.rust.syntax.nodes import field, node_bytes, parent_of, walk
from evaluation.rust.verdict import CodeMetadata

Level = Literal["easy", "medium", "hard"]
Main = Literal["none", "plain", "returning", "other"]

RUST = Language(tree_sitter_rust.language())
# Patterns of one node, or of a node and its first or named child. A pattern with a later child makes the search
# quadratic in the depth of the tree: 80 KB of `a && a && ..` took 26 seconds.
QUERY = Query(
    RUST,
    """
    (function_item) @function
    [(if_expression) (while_expression) (for_expression) (loop_expression) (match_expression)] @control
    [(if_expression) (while_expression) (for_expression) (loop_expression) (match_arm) (try_expression)] @branch
    (binary_expression) @binary
    (let_chain) @let_chain
    (else_clause) @else
    (unsafe_block) @unsafe
    (function_modifiers "unsafe" @unsafe)
    (impl_item . "unsafe" @unsafe)
    (trait_item . (visibility_modifier)? . "unsafe" @unsafe)
    (function_type) @function_type
    (lifetime) @lifetime
    [(trait_bounds) (bounded_type) (dynamic_type) (abstract_type)] @bounds
    (impl_item) @impl
    (trait_item name: (_) @trait)
    [(struct_item name: (_) @type) (enum_item name: (_) @type) (union_item name: (_) @type)]
    (mod_item !body) @bodiless
    "impl" @impl_keyword
    (abstract_type) @impl_type
    "mod" @mod_keyword
    (mod_item) @mod
    (attribute_item (attribute) @attribute)
    (inner_attribute_item (attribute) @inner_attribute)
    (super) @super
    (macro_invocation . (_) @macro)
    (macro_definition name: (_) @macro_defined)
    """,
)
PLACEHOLDER_MACROS = {"todo", "unimplemented", "unreachable", "panic"}
PATHS = {
    "super",
    "scoped_identifier",
    "scoped_type_identifier",
    "scoped_use_list",
    "use_list",
    "use_as_clause",
    "use_wildcard",
    "visibility_modifier",
}
MAX_DEPTH = 65_530  # of a query: tree-sitter counts depth in 16 bits and takes quadratic time beyond
COMMENTS = {"line_comment", "block_comment"}
TEXTS = {"string_literal", "raw_string_literal", "char_literal"}
# Nodes among bounds that are no bounds; the last three contain bounds of their own.
NO_BOUNDS = COMMENTS | {"lifetime", "use_bounds", "type_parameters", "bounded_type", "abstract_type", "dynamic_type"}
BLOCKS = {"block", "unsafe_block", "async_block"}


@dataclass(frozen=True)
class SyntaxReport:
    """Facts about one file."""

    metadata: CodeMetadata
    has_error: bool
    """Whether some part does not match the grammar; rustc may still accept it."""
    main: Main
    """Form of the top-level `fn main`: `plain` is `fn main() { .. }`; `returning` also has a return type; `other` has
    outer attributes, parameters, generics or qualifiers, or there are several.
    """
    foreign_impl: bool
    """Whether there is an `impl Trait for Type` with neither trait nor type declared in the file. True in doubt, as
    for most `impl` among the tokens of a macro.
    """
    bodiless_module: bool
    """Whether there is a `mod name;`, whose source is another file, or a `mod` among the tokens of a macro."""
    inner_supers: int
    """Number of `super` in paths that stay in the file's own modules, without those in macros."""
    placeholders: tuple[str, ...]
    """Names of functions whose body is empty, `()` or `return`, or only `todo!`, `unimplemented!`, `unreachable!` or
    `panic!`, in source order.
    """
    attributes: tuple[str, ...]
    """Distinct names of attributes, sorted; inner attributes begin with `!`."""
    macros: tuple[str, ...]
    """Distinct paths of invoked macros, sorted."""
    macros_defined: tuple[str, ...]
    """Distinct names of the file's own `macro_rules!`, sorted."""


def analyze(source: str | bytes) -> SyntaxReport:
    """
    Parse and measure a file. This never fails.

    The metadata are:

    - `functions`: functions with a body, including methods and nested functions;
    - `complexity`: cyclomatic complexity, functions + if + while + for + loop + match arms + `?` + `&&` + `||`;
    - `nesting`: maximum nesting of if, while, for, loop and match; `else if` does not nest;
    - `unsafe_blocks`: unsafe blocks, functions (with or without a body), impls and traits, without function pointers;
    - `lifetime_complexity`: written lifetimes, including `'static` and `'_`, without the labels of loops;
    - `trait_bounds`: bounds after `:` and `+`, in where clauses and after `dyn` and `impl`, without lifetimes.

    The time is linear for code that parses. 100 KB of brackets take seconds, and nothing is counted below a depth of
    65 530 nodes, but `routing.refusal` refuses such code before.

    Args:
        source: Text of the file.
    """
    code = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    # A new parser each time, at no measurable cost: threads must not share one.
    tree = Parser(RUST).parse(code)
    cursor = QueryCursor(QUERY)
    cursor.set_max_start_depth(MAX_DEPTH)
    found = cursor.captures(tree.root_node)

    def nodes(name: str) -> list[Node]:
        return found.get(name, [])

    functions = sorted(nodes("function"), key=lambda node: node.start_byte)
    operators = sum(field(node, "operator").type in ("&&", "||") for node in nodes("binary"))
    operators += sum(child.type == "&&" for node in nodes("let_chain") for child in node.children)
    complexity = len(functions) + len(nodes("branch")) + operators
    lifetimes = len(nodes("lifetime"))
    bounds = sum(child.type not in NO_BOUNDS for node in nodes("bounds") for child in node.named_children)
    unsafe = len(nodes("unsafe")) - sum(_is_unsafe_pointer(node) for node in nodes("function_type"))
    metadata = CodeMetadata(
        complexity=complexity,
        unsafe_blocks=unsafe,
        lifetime_complexity=lifetimes,
        trait_bounds=bounds,
        functions=len(functions),
        nesting=_deepest(nodes("control"), {node.children[-1].start_byte for node in nodes("else")}),
        bytes=len(code),
        difficulty=difficulty(complexity, lifetimes, bounds, unsafe),
    )
    traits, types = {node_bytes(node) for node in nodes("trait")}, {node_bytes(node) for node in nodes("type")}
    # Every such keyword belongs to one item or type; the rest are tokens of a macro.
    hidden_mod = len(nodes("mod_keyword")) > len(nodes("mod"))
    hidden_impl = len(nodes("impl_keyword")) > len(nodes("impl")) + len(nodes("impl_type"))
    if hidden_impl:
        hidden_impl = any(_is_foreign_token(node, traits) for node in nodes("impl_keyword"))
    outer, inner = nodes("attribute"), nodes("inner_attribute")
    return SyntaxReport(
        metadata=metadata,
        has_error=tree.root_node.has_error,
        main=_main(tree.root_node),
        foreign_impl=hidden_impl or any(_is_foreign(node, traits, types) for node in nodes("impl")),
        bodiless_module=hidden_mod or bool(nodes("bodiless")),
        inner_supers=_inner_supers(tree.root_node) if nodes("super") else 0,
        placeholders=tuple(_text(node.child_by_field_name("name")) for node in functions if is_placeholder(node)),
        attributes=_sorted(map(_attribute, outer)) + _sorted("!" + _attribute(node) for node in inner),
        macros=_sorted(_text(node) for node in nodes("macro")),
        macros_defined=_sorted(_text(node) for node in nodes("macro_defined")),
    )


def difficulty(complexity: int, lifetime_complexity: int, trait_bounds: int, unsafe_blocks: int) -> float:
    """
    Return a difficulty in [0, 1]: `min(complexity / 100, 0.3) + min(lifetime_complexity / 10, 0.3)
    + min(trait_bounds / 5, 0.2)`, plus 0.2 with unsafe code.
    """
    score = min(complexity / 100, 0.3) + min(lifetime_complexity / 10, 0.3) + min(trait_bounds / 5, 0.2)
    return min(score + (0.2 if unsafe_blocks else 0.0), 1.0)


def level(difficulty: float) -> Level:
    """Return the level of a difficulty: `easy` below 0.3, `hard` from 0.7, `medium` in between."""
    return "easy" if difficulty < 0.3 else "medium" if difficulty < 0.7 else "hard"


def _text(node: Node | None) -> str:
    return "" if node is None else node_bytes(node).decode("utf-8", "replace")


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _attribute(node: Node) -> str:
    """Return the name of an attribute; for `unsafe(no_mangle)`, as edition 2024 requires, that of the inner one."""
    arguments = node.child_by_field_name("arguments")
    if arguments is not None and arguments.named_child_count and node.children[0].text == b"unsafe":
        return _text(arguments.named_child(0))
    return _text(node.child(0))


def _is_unsafe_pointer(function_type: Node) -> bool:
    """Whether a type is `unsafe fn(..)`, which is not unsafe code."""
    modifiers = [child for child in function_type.children if child.type == "function_modifiers"]
    return any(child.type == "unsafe" for node in modifiers for child in node.children)


def _deepest(nodes: Iterable[Node], skipped: set[int]) -> int:
    """Return the maximum nesting of nodes, without those that start at the `skipped` bytes."""
    ends: list[int] = []
    deepest = 0
    for start, end in sorted(node.byte_range for node in nodes):
        if start in skipped:
            continue
        # Ends increase from the innermost outwards; nodes that end at or before this start are closed.
        while ends and ends[-1] <= start:
            ends.pop()
        ends.append(end)
        deepest = max(deepest, len(ends))
    return deepest


def _main(root: Node) -> Main:
    found: Main = "none"
    before = None
    for node in root.named_children:
        if node.type in COMMENTS:
            continue
        if node.type == "function_item" and _text(node.child_by_field_name("name")) in ("main", "r#main"):
            decorated = before is not None and before.type == "attribute_item"
            found = _kind_of_main(node) if found == "none" and not decorated else "other"
        before = node
    return found


def _kind_of_main(function: Node) -> Main:
    if field(function, "parameters").named_child_count:
        return "other"
    returned = function.child_by_field_name("return_type")
    kinds = [
        child.type
        for child in function.children
        if child != returned and child.type not in COMMENTS | {"visibility_modifier"}
    ]
    if returned is None:
        return "plain" if kinds == ["fn", "identifier", "parameters", "block"] else "other"
    return "returning" if kinds == ["fn", "identifier", "parameters", "->", "block"] else "other"


def _inner_supers(root: Node) -> int:
    """Count the `super` in paths that stay in the file's own modules."""
    total = ups = path_end = 0
    modules: list[tuple[int, int, int]] = []
    for node in walk(root):
        while modules and modules[-1][0] <= node.start_byte:
            _, ups, path_end = modules.pop()
        if node.type == "mod_item":
            modules.append((node.end_byte, ups, path_end))
            path_end = 0
        elif node.type in PATHS and path_end <= node.start_byte:
            # The outermost path; the paths inside are parts of it.
            ups, path_end = node_bytes(node).count(b"super"), node.end_byte
        total += node.type == "super" and 0 < ups <= len(modules)
    return total


def _is_foreign(node: Node, traits: set[bytes], types: set[bytes]) -> bool:
    """Whether an impl is for a trait, and neither the trait nor the type is declared in the file."""
    trait = node.child_by_field_name("trait")
    if trait is None:
        return False
    if trait.type == "generic_type":
        trait = field(trait, "type")
    if trait.type == "type_identifier" and trait.text in traits:
        return False
    # A type parameter hides a type of its name.
    parameters = node.child_by_field_name("type_parameters")
    names = [] if parameters is None else [parameter.child_by_field_name("name") for parameter in parameters.children]
    types = types - {node_bytes(name) for name in names if name is not None}
    kind = field(node, "type")
    if kind.type == "generic_type":
        kind = field(kind, "type")
    if kind.type == "dynamic_type":
        return field(kind, "trait").text not in traits
    # A reference to one of the file's types counts as foreign: type inference considers all impls for references.
    return kind.type != "type_identifier" or kind.text not in types


def _is_foreign_token(keyword: Node, traits: set[bytes]) -> bool:
    """Whether an `impl` is a macro's token and not followed by one of the file's own traits and `for`."""
    if parent_of(keyword).type not in ("token_tree", "token_repetition"):
        return False
    trait = keyword.next_sibling
    if trait is None or trait.next_sibling is None:
        return True
    return trait.text not in traits or trait.next_sibling.type != "for"


def is_placeholder(function: Node) -> bool:
    """Whether a function's body, also in nested blocks, is only empty, `()`, `return` or a placeholder macro."""
    inner = function.child_by_field_name("body")
    while inner is not None:
        children = [child for child in inner.named_children if child.type not in COMMENTS | {"empty_statement"}]
        if inner.type in BLOCKS or inner.type in ("expression_statement", "return_expression"):
            if not children:
                return inner.type != "expression_statement"
            if len(children) > 1:
                return False
            inner = children[0]
        elif inner.type == "macro_invocation":
            return _text(inner.child_by_field_name("macro")).rpartition("::")[2].strip() in PLACEHOLDER_MACROS
        else:
            return inner.type == "unit_expression"
    return False
