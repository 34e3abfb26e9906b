"""What the syntax tree says about a piece of Rust, by tree-sitter: sizes, and facts for sorting and refusing.

A feature and a router, never a verdict: the grammar accepts programs rustc rejects, and rejects a few that rustc
accepts. Macros are not expanded: what stands inside `println!(...)` or `macro_rules!` is a tree of tokens and counts
for nothing.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import tree_sitter_rust
from tree_sitter import Language, Node, Parser, Query, QueryCursor

from evaluation.rust.verdict import CodeMetadata

Level = Literal["easy", "medium", "hard"]
Main = Literal["none", "plain", "returning", "other"]

RUST = Language(tree_sitter_rust.language())
QUERY = Query(
    RUST,
    """
    (function_item) @function
    [(if_expression) (while_expression) (for_expression) (loop_expression) (match_expression)] @control
    [(if_expression) (while_expression) (for_expression) (loop_expression) (match_arm) (try_expression)] @branch
    (binary_expression operator: ["&&" "||"]) @branch
    (let_chain "&&" @branch)
    (else_clause (if_expression) @else_if)
    (unsafe_block) @unsafe
    (function_modifiers "unsafe" @unsafe)
    (impl_item "unsafe" @unsafe)
    (trait_item "unsafe" @unsafe)
    (lifetime) @lifetime
    (trait_bounds (_) @bound)
    (bounded_type (_) @bound)
    (dynamic_type trait: (_) @bound)
    (abstract_type trait: (_) @bound)
    (impl_item) @impl
    (trait_item name: (_) @trait)
    [(struct_item name: (_) @type) (enum_item name: (_) @type) (union_item name: (_) @type)]
    (mod_item !body) @bodiless
    [(token_tree "impl" @hidden_impl) (token_repetition "impl" @hidden_impl)]
    [(token_tree "mod" @bodiless) (token_repetition "mod" @bodiless)]
    (attribute_item (attribute . (_) @attribute))
    (inner_attribute_item (attribute . (_) @inner_attribute))
    (super) @super
    (macro_invocation macro: (_) @macro)
    (macro_definition name: (_) @macro_defined)
    """,
)
PLACEHOLDER_MACROS = {b"todo", b"unimplemented", b"unreachable", b"panic"}
# The last three hold bounds that are counted elsewhere.
NO_BOUNDS = {"lifetime", "bounded_type", "abstract_type", "dynamic_type"}
PATHS = {
    "super", "scoped_identifier", "scoped_type_identifier", "scoped_use_list", "use_list", "use_as_clause",
    "use_wildcard", "visibility_modifier",
}  # fmt: skip
COMMENTS = {"line_comment", "block_comment"}
WRAPPERS = {b"Box", b"Pin"}  # an impl for one of these around a local type counts as one for the local type
_parsers = threading.local()  # a parser must not be used by two threads at once


@dataclass(frozen=True)
class SyntaxReport:
    """The facts about one file."""

    metadata: CodeMetadata
    has_error: bool
    """Some part does not fit the grammar; rustc may still accept it."""
    main: Main
    """The top-level `fn main`: `plain` is `fn main() { .. }`, `returning` has a return type and nothing else besides;
    `other` has attributes, parameters, generics, qualifiers, or is one of several.
    """
    foreign_impl: bool
    """Some `impl Trait for Type` of which the file declares neither trait nor type; True when in doubt."""
    bodiless_module: bool
    """Some `mod name;`, whose text is another file; also any `mod` among the tokens of a macro."""
    inner_supers: int
    """How many `super` lead no higher than the file's own root, from within its modules; none of macros counts."""
    placeholders: tuple[str, ...]
    """Names of functions whose body is empty, or only `todo!`, `unimplemented!`, `unreachable!` or `panic!`."""
    attributes: tuple[str, ...]
    """Names of attributes, sorted, each once; those of the enclosing item begin with `!`."""
    macros: tuple[str, ...]
    """Paths of the macros that are called, sorted, each once."""
    macros_defined: tuple[str, ...]
    """Names of the file's own `macro_rules!`."""


def analyse(source: str | bytes) -> SyntaxReport:
    """Parses a file and measures it; never fails, whatever the text is.

    Of the metadata,
    `functions` counts functions with a body, also methods and nested ones;
    `complexity` (cyclomatic) is functions + if + while + for + loop + match arms + `?` + `&&` + `||`: every arm
    counts; `nesting` is the deepest nesting of if, while, for, loop and match, where `else if` goes no deeper;
    `unsafe_blocks` counts unsafe blocks, functions, impls and traits;
    `lifetime_complexity` counts lifetimes where they are written, `'static` and `'_` too, but not the labels of loops;
    `trait_bounds` counts bounds after `:` and `+`, in where clauses and after `dyn` and `impl`, but not lifetimes
    there.
    """
    code = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    tree = _parser().parse(code)
    found = QueryCursor(QUERY).captures(tree.root_node)

    def nodes(name: str) -> list[Node]:
        return found.get(name, [])

    functions = nodes("function")
    complexity = len(functions) + len(nodes("branch"))
    lifetimes = len(nodes("lifetime"))
    bounds = sum(1 for bound in nodes("bound") if bound.type not in NO_BOUNDS)
    unsafe = len(nodes("unsafe"))
    metadata = CodeMetadata(
        complexity=complexity,
        unsafe_blocks=unsafe,
        lifetime_complexity=lifetimes,
        trait_bounds=bounds,
        functions=len(functions),
        nesting=_deepest(nodes("control"), {node.id for node in nodes("else_if")}),
        bytes=len(code),
        difficulty=difficulty(complexity, lifetimes, bounds, unsafe),
    )
    local = {node.text for node in nodes("trait")}, {node.text for node in nodes("type")}
    return SyntaxReport(
        metadata=metadata,
        has_error=tree.root_node.has_error,
        main=_main(tree.root_node),
        foreign_impl=bool(nodes("hidden_impl")) or any(_is_foreign(node, *local) for node in nodes("impl")),
        bodiless_module=bool(nodes("bodiless")),
        inner_supers=sum(map(_stays_inside, nodes("super"))),
        placeholders=tuple(_text(node.child_by_field_name("name")) for node in functions if _is_placeholder(node)),
        attributes=_names(nodes("attribute")) + tuple("!" + name for name in _names(nodes("inner_attribute"))),
        macros=_names(nodes("macro")),
        macros_defined=_names(nodes("macro_defined")),
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


def _parser() -> Parser:
    if not hasattr(_parsers, "rust"):
        _parsers.rust = Parser(RUST)
    return _parsers.rust


def _text(node: Node | None) -> str:
    return "" if node is None else node.text.decode("utf-8", "replace")


def _names(nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted({_text(node) for node in nodes}))


def _deepest(nodes: Iterable[Node], skipped: set[int]) -> int:
    """How many of the nodes lie within each other at most."""
    ends: list[int] = []
    deepest = 0
    for node in sorted((node for node in nodes if node.id not in skipped), key=lambda node: node.start_byte):
        # Ends grow from the innermost outwards; those at or before this start are over.
        while ends and ends[-1] <= node.start_byte:
            ends.pop()
        ends.append(node.end_byte)
        deepest = max(deepest, len(ends))
    return deepest


def _main(root: Node) -> Main:
    found: Main = "none"
    before = None
    for node in root.named_children:
        if node.type in COMMENTS:
            continue
        if node.type == "function_item" and node.child_by_field_name("name").text == b"main":
            decorated = before is not None and before.type == "attribute_item"
            found = _kind_of_main(node) if found == "none" and not decorated else "other"
        before = node
    return found


def _kind_of_main(function: Node) -> Main:
    if function.child_by_field_name("parameters").named_child_count:
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


def _stays_inside(node: Node) -> bool:
    """Whether a path with `super` in it leads no higher than the file's own root."""
    ups = modules = 0
    above: Node | None = node
    while above is not None:
        if above.type == "mod_item":
            modules += 1
        elif not modules and above.type in PATHS:
            ups = above.text.count(b"super")
        above = above.parent
    return 0 < ups <= modules


def _is_foreign(node: Node, traits: set[bytes], types: set[bytes]) -> bool:
    """Whether an impl block is one of a trait, and neither its trait nor its type is the file's own."""
    trait = node.child_by_field_name("trait")
    if trait is None:
        return False
    if trait.type == "generic_type":
        trait = trait.child_by_field_name("type")
    if trait.type == "type_identifier" and trait.text in traits:
        return False
    kind = node.child_by_field_name("type")
    while kind is not None:
        if kind.type == "type_identifier":
            return kind.text not in types
        if kind.type == "reference_type":
            kind = kind.child_by_field_name("type")
        elif kind.type == "generic_type":
            name = kind.child_by_field_name("type")
            arguments = kind.child_by_field_name("type_arguments")
            kind = arguments.named_child(0) if name.text in WRAPPERS else name
        elif kind.type == "dynamic_type":
            name = kind.child_by_field_name("trait")
            return name.text not in traits
        else:
            return True
    return True


def _is_placeholder(function: Node) -> bool:
    """Whether a function does nothing: comments, blocks and one placeholder macro at most."""
    inner = function.child_by_field_name("body")
    while inner is not None:
        children = [child for child in inner.named_children if child.type not in COMMENTS]
        if inner.type in ("block", "expression_statement", "return_expression"):
            if not children:
                return inner.type == "block"
            if len(children) > 1:
                return False
            inner = children[0]
        elif inner.type == "macro_invocation":
            return inner.child_by_field_name("macro").text.rpartition(b"::")[2] in PLACEHOLDER_MACROS
        else:
            return False
    return False
