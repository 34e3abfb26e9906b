"""What the syntax tree says about a piece of Rust, by tree-sitter: sizes, and facts for sorting and refusing.

A feature and a router, never a verdict: the grammar accepts programs rustc rejects, and rejects a few that rustc
accepts. Macros are not expanded: what stands inside `println!(...)` or `macro_rules!` is a tree of tokens and counts
for nothing.
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
# Patterns of one node, or of a node and its first or named child: one that waits for some later child makes the search
# quadratic in the depth of the tree; 80 KB of `a && a && ..` took 26 seconds.
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
MAX_DEPTH = 65_530  # of a query; tree-sitter counts depth in 16 bits, and what is deeper takes it quadratic time
COMMENTS = {"line_comment", "block_comment"}
TEXTS = {"string_literal", "raw_string_literal", "char_literal"}
# What stands among bounds and is none; the last three hold bounds of their own.
NO_BOUNDS = COMMENTS | {"lifetime", "use_bounds", "type_parameters", "bounded_type", "abstract_type", "dynamic_type"}
BLOCKS = {"block", "unsafe_block", "async_block"}


@dataclass(frozen=True)
class SyntaxReport:
    """The facts about one file."""

    metadata: CodeMetadata
    has_error: bool
    """Some part does not fit the grammar; rustc may still accept it."""
    main: Main
    """The top-level `fn main`: `plain` is `fn main() { .. }`, `returning` has a return type and nothing else besides;
    `other` has outer attributes, parameters, generics, qualifiers, or is one of several.
    """
    foreign_impl: bool
    """Some `impl Trait for Type` of which the file declares neither trait nor type; True when in doubt, as
    for most `impl` among the tokens of a macro.
    """
    bodiless_module: bool
    """Some `mod name;`, whose text is another file; also any `mod` among the tokens of a macro."""
    inner_supers: int
    """How many `super` lead no higher than the file's own root, from within its modules; none of macros counts."""
    placeholders: tuple[str, ...]
    """Names of functions whose body is empty, `()` or `return`, or only `todo!`, `unimplemented!`, `unreachable!` or
    `panic!`; in the order of the file.
    """
    attributes: tuple[str, ...]
    """Names of attributes, sorted, each once; those of the enclosing item begin with `!`."""
    macros: tuple[str, ...]
    """Paths of the macros that are called, sorted, each once."""
    macros_defined: tuple[str, ...]
    """Names of the file's own `macro_rules!`."""


def analyze(source: str | bytes) -> SyntaxReport:
    """Parses a file and measures it; never fails, whatever the text is.

    Time is linear in code that parses; 100 KB of nothing but brackets take seconds, and beyond a depth of 65 530
    nodes nothing is counted. `routing.refusal` keeps such code away.

    Of the metadata,
    `functions` counts functions with a body, also methods and nested ones;
    `complexity` (cyclomatic) is functions + if + while + for + loop + match arms + `?` + `&&` + `||`: every arm
    counts; `nesting` is the deepest nesting of if, while, for, loop and match, where `else if` goes no deeper;
    `unsafe_blocks` counts unsafe blocks, functions (also without a body), impls and traits, but not function pointers;
    `lifetime_complexity` counts lifetimes where they are written, `'static` and `'_` too, but not the labels of loops;
    `trait_bounds` counts bounds after `:` and `+`, in where clauses and after `dyn` and `impl`, but not lifetimes
    there.
    """
    code = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    # A new parser each time costs nothing that can be measured; a shared one must not be used by two threads at once.
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
    # Every such keyword belongs to one item or type; those too many are tokens of a macro.
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
    """In [0, 1]: up to 0.3 each for complexity (of 100) and lifetimes (of 10), 0.2 each for bounds (of 5) and unsafe
    code.
    """
    score = min(complexity / 100, 0.3) + min(lifetime_complexity / 10, 0.3) + min(trait_bounds / 5, 0.2)
    return min(score + (0.2 if unsafe_blocks else 0.0), 1.0)


def level(difficulty: float) -> Level:
    """`easy` below 0.3, `hard` from 0.7 on, `medium` between."""
    return "easy" if difficulty < 0.3 else "medium" if difficulty < 0.7 else "hard"


def _text(node: Node | None) -> str:
    return "" if node is None else node_bytes(node).decode("utf-8", "replace")


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _attribute(node: Node) -> str:
    """The name of an attribute; of `unsafe(no_mangle)` it is the inner one, as edition 2024 must write it so."""
    arguments = node.child_by_field_name("arguments")
    if arguments is not None and arguments.named_child_count and node.children[0].text == b"unsafe":
        return _text(arguments.named_child(0))
    return _text(node.child(0))


def _is_unsafe_pointer(function_type: Node) -> bool:
    """Whether a type is `unsafe fn(..)`, which is no unsafe code."""
    modifiers = [child for child in function_type.children if child.type == "function_modifiers"]
    return any(child.type == "unsafe" for node in modifiers for child in node.children)


def _deepest(nodes: Iterable[Node], skipped: set[int]) -> int:
    """How many of the nodes lie within each other at most, without those that start at the `skipped` bytes."""
    ends: list[int] = []
    deepest = 0
    for start, end in sorted(node.byte_range for node in nodes):
        if start in skipped:
            continue
        # Ends grow from the innermost outwards; those at or before this start are over.
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
    """How many `super` are in paths that lead no higher than the file's own root."""
    total = ups = path_end = 0
    modules: list[tuple[int, int, int]] = []
    for node in walk(root):
        while modules and modules[-1][0] <= node.start_byte:
            _, ups, path_end = modules.pop()
        if node.type == "mod_item":
            modules.append((node.end_byte, ups, path_end))
            path_end = 0
        elif node.type in PATHS and path_end <= node.start_byte:
            # The outermost path: those within it are parts of it.
            ups, path_end = node_bytes(node).count(b"super"), node.end_byte
        total += node.type == "super" and 0 < ups <= len(modules)
    return total


def _is_foreign(node: Node, traits: set[bytes], types: set[bytes]) -> bool:
    """Whether an impl block is one of a trait, and neither its trait nor its type is the file's own."""
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
    # A reference to one of the file's types counts as foreign: inference looks at all impls for references.
    return kind.type != "type_identifier" or kind.text not in types


def _is_foreign_token(keyword: Node, traits: set[bytes]) -> bool:
    """Whether an `impl` is a macro's token, and not followed by one of the file's own traits."""
    if parent_of(keyword).type not in ("token_tree", "token_repetition"):
        return False
    trait = keyword.next_sibling
    if trait is None or trait.next_sibling is None:
        return True
    return trait.text not in traits or trait.next_sibling.type != "for"


def is_placeholder(function: Node) -> bool:
    """Whether a function does nothing: its body is empty, or `()`, `return` or one placeholder macro in blocks."""
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
