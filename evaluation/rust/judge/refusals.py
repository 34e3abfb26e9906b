"""
Refusals under reward rules, before compilation: constructs that honest solutions do not need and reward hacks use.

The rules are applied to the syntax tree and its tokens, including those inside macros, without comments and strings.
For code that tree-sitter cannot parse, only the tokens are checked (`unparsed.py`). The compiler, the hidden tests and
the sandbox prevent most of these hacks as well (`harness.py`), but a refusal is cheaper, gives the reason, and also
works without hidden tests. If only a signature is demanded, a useless body that compiles cannot be distinguished from
a useful one in general; the rules on bodies find the usual ones.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest

from tree_sitter import Node, Parser

from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.refused_bodies import bodies
from evaluation.rust.judge.refused_holes import holes
from evaluation.rust.judge.refused_types import equality, unused_lifetimes
from evaluation.rust.judge.stdin_tests import StdinTests
from evaluation.rust.judge.unparsed import idle_functions, leaves, repaired, unseen
from evaluation.rust.syntax.analysis import COMMENTS, RUST, TEXTS
from evaluation.rust.syntax.nodes import (
    MACRO_PARTS,
    AnyNode,
    Found,
    FoundAnywhere,
    Nodes,
    field,
    in_macro,
    node_bytes,
    node_text,
    walk,
)
from evaluation.rust.verdict import Diagnostic

ROOTS = {b"std", b"core", b"alloc"}
FORBIDDEN_PATHS = {
    "process": "ends or starts processes",
    "fs": "uses files",
    "net": "uses the network",
    "env": "reads the environment",
    "os": "uses the operating system",
    "ffi": "uses the operating system",
    "arch": "uses instructions of the processor",
    "intrinsics": "uses compiler intrinsics",
    "backtrace": "inspects its callers",
    "panic::set_hook": "changes what a panic does",
    "panic::take_hook": "changes what a panic does",
    "panic::update_hook": "changes what a panic does",
    "panic::panic_any": "changes what a panic does",
    "panic::resume_unwind": "changes what a panic does",
    "panic::Location": "inspects its callers",
    "alloc": "changes memory allocation",
    "include": "reads files",
    "include_str": "reads files",
    "include_bytes": "reads files",
    "option_env": "reads the environment",
    "cfg": "enables or disables code",
    "mem::transmute": "is unsafe",
}
LONGEST_PATH = 1 + max(path.count("::") + 1 for path in FORBIDDEN_PATHS)
FORBIDDEN_WORDS = {
    b"extern": "declares foreign code or crates",
    b"include_str": "reads files",
    b"include_bytes": "reads files",
    b"option_env": "reads the environment",
    b"global_asm": "uses instructions of the processor",
    b"naked_asm": "uses instructions of the processor",
    b"cfg_attr": "enables or disables code",
    b"set_hook": "changes what a panic does",
    b"take_hook": "changes what a panic does",
}
FORBIDDEN_MACROS = {
    b"include": "reads files",
    b"env": "reads the environment",
    b"asm": "uses instructions of the processor",
    b"cfg": "enables or disables code",
    b"concat_idents": "creates names",
    b"cfg_match": "enables or disables code",
    b"cfg_select": "enables or disables code",
}
STANDARD_MACROS = {
    "assert",
    "assert_eq",
    "assert_ne",
    "cfg",
    "column",
    "compile_error",
    "concat",
    "dbg",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "env",
    "eprint",
    "eprintln",
    "file",
    "format",
    "format_args",
    "include",
    "include_bytes",
    "include_str",
    "is_x86_feature_detected",
    "line",
    "matches",
    "module_path",
    "option_env",
    "panic",
    "print",
    "println",
    "stringify",
    "thread_local",
    "todo",
    "try",
    "unimplemented",
    "unreachable",
    "vec",
    "write",
    "writeln",
}
ATTRIBUTES = {
    "allow",
    "warn",
    "deny",
    "forbid",
    "expect",
    "doc",
    "derive",
    "inline",
    "must_use",
    "cold",
    "track_caller",
    "non_exhaustive",
    "repr",
    "default",
    "deprecated",
    "test",
    "ignore",
    "should_panic",
    "macro_export",
    "macro_use",
    "automatically_derived",
    "diagnostic::on_unimplemented",
    "diagnostic::do_not_recommend",
    "rustfmt::skip",
}
INNER_ATTRIBUTES = {"allow", "warn", "deny", "forbid", "expect", "doc"}
RESERVED = b"nanochat_"
OutsideTests = HiddenTests | StdinTests
"""Tests outside the candidate's crate."""


@dataclass(frozen=True)
class Refusal:
    """One reason to refuse code, with its place."""

    reason: str
    line: int
    """Counted from 1."""
    column: int
    """Counted from 1, in characters."""
    text: str
    """The line of the code."""

    def diagnostic(self) -> Diagnostic:
        """Return the refusal as a diagnostic of a verdict."""
        margin = " " * len(str(self.line))
        rendered = (
            f"refused: {self.reason}\n{margin}--> candidate.rs:{self.line}:{self.column}\n{margin} |\n"
            f"{self.line} | {self.text}\n{margin} | {' ' * (self.column - 1)}^\n"
        )
        return Diagnostic(None, "refusal", self.reason, self.line, self.column, rendered)


def refusals(code: bytes, tests: OutsideTests | None = None, continued: bool = False) -> list[Refusal]:
    """
    Return the reasons to refuse code, in the order of the rules, each line once per reason.

    Args:
        code: Code that is expected to compile. If tree-sitter cannot parse it, only its tokens are checked.
        tests: Its hidden tests or stdin tests. Without cases, macros of its own are refused as well, because they may
            drop their arguments.
        continued: The code is a prompt with an empty body. Only reasons that no body can remove are returned.
    """
    root = Parser(RUST).parse(code).root_node
    if root.has_error:
        text = repaired(code.decode())
        root = Parser(RUST).parse(text.encode()).root_node
        read = partial(_rules_of_tokens, text) if root.has_error else _rules_of_trees
    else:
        read = _rules_of_trees
    found = {}
    lines = code.split(b"\n")
    for rule in read(root, tests, continued):
        for node, reason in rule:
            row, column = node.start_point
            line = lines[row] if row < len(lines) else b""
            characters = len(line[:column].decode("utf-8", "replace"))
            found.setdefault((reason, row), Refusal(reason, row + 1, characters + 1, line.decode("utf-8", "replace")))
    return list(found.values())


def _rules_of_trees(root: Node, tests: OutsideTests | None, continued: bool) -> Sequence[FoundAnywhere]:
    tokens, nodes = _read(root)
    hidden = tests if isinstance(tests, HiddenTests) else None
    unsafe = hidden is not None and hidden.allow_unsafe
    checked = isinstance(tests, StdinTests) or (hidden is not None and not hidden.blank)
    lasting = (
        _words(tokens, unsafe),
        _paths(tokens, defines_macros=bool(nodes["macro_definition"])),
        _attributes(nodes, tokens),
        _modules(nodes),
        _macros(nodes, tokens, checked),
        _conditions(nodes),
    )
    if continued:
        return lasting
    return (
        *lasting,
        unused_lifetimes(nodes),
        holes(root, nodes),
        equality(root, tokens, nodes, hidden),
        bodies(root, nodes, hidden),
    )


def _rules_of_tokens(code: str, root: Node, tests: OutsideTests | None, continued: bool) -> Sequence[FoundAnywhere]:
    tokens = leaves(code)
    hidden = tests if isinstance(tests, HiddenTests) else None
    unsafe = hidden is not None and hidden.allow_unsafe
    apart = isinstance(tests, StdinTests) or (
        hidden is not None and not hidden.blank and hidden.shared_because is None
    )
    macros = any(token.text == b"macro_rules" for token in tokens)
    # Items that could be parsed are checked by their trees as well.
    nodes = defaultdict(list)
    for item in root.children:
        if not item.has_error:
            for kind, found in _read(item)[1].items():
                nodes[kind] += found
    lasting = _words(tokens, unsafe), _paths(tokens, defines_macros=macros), _conditions(nodes)
    if continued:
        return lasting
    return (
        *lasting,
        unused_lifetimes(nodes),
        holes(root, nodes),
        unseen(code, tokens, apart, ATTRIBUTES),
        idle_functions(code, root, hidden),
    )


def _read(root: Node) -> tuple[list[Node], dict[str, list[Node]]]:
    """Return the leaves of a tree without comments and strings, and the named nodes by type."""
    tokens, nodes = [], defaultdict(list)
    for node in walk(root, lambda node: node.type in COMMENTS or node.type in TEXTS):
        if node.is_named:
            nodes[node.type].append(node)
        if not node.child_count:
            tokens.append(node)
    return tokens, nodes


def _words(tokens: Sequence[AnyNode], unsafe_allowed: bool) -> FoundAnywhere:
    for node, following in zip_longest(tokens, tokens[1:]):
        word = node_bytes(node).removeprefix(b"r#")
        if word == b"unsafe" and not unsafe_allowed:
            yield node, "has unsafe code"
        elif word in FORBIDDEN_WORDS:
            yield node, f"{FORBIDDEN_WORDS[word]}: `{word.decode()}`"
        elif word in FORBIDDEN_MACROS and following is not None and following.text == b"!":
            yield node, f"{FORBIDDEN_MACROS[word]}: `{word.decode()}!`"
        elif word.startswith(RESERVED):
            yield node, f"uses a name that begins with `{RESERVED.decode()}`, which is reserved for the checker"


def _paths(tokens: Sequence[AnyNode], defines_macros: bool) -> FoundAnywhere:
    """Find forbidden paths of the standard library, including all paths of a `use` with braces."""
    for index, node in enumerate(tokens):
        if node.text not in ROOTS:
            continue
        following = tokens[index + 1].text if index + 1 < len(tokens) else b""
        before = tokens[index - 1].text if index else b""
        if following == b"::":
            if before != b"::" or index < 2 or tokens[index - 2].type not in ("identifier", "crate", "self", "super"):
                yield from _tree(tokens, index + 2, ())
        elif following == b"as" or (before in (b"use", b"crate", b"{", b",") and following in (b";", b"}")):
            if before in (b"use", b"crate", b"::", b"{", b","):
                yield node, f"gives `{node.text.decode()}` another name"
        elif defines_macros and node.text == b"std" and in_macro(node):
            yield node, "creates paths by macros: `std`"


def _tree(tokens: Sequence[AnyNode], index: int, prefix: tuple[bytes, ...]) -> FoundAnywhere:
    """Find forbidden paths that start at a token, below `prefix`."""
    waiting = [(index, prefix)]
    while waiting:
        index, prefix = waiting.pop()
        if index >= len(tokens):
            continue
        node = tokens[index]
        if node.text == b"{":
            waiting += reversed([(start, prefix) for start in _branches(tokens, index)])
        elif node.text == b"*" and not prefix:
            yield node, "imports all names of the standard library: what it uses cannot be checked"
        elif node.text == b"self" and not prefix:
            yield node, "gives the standard library another name"
        elif node.text in (b"$", b"(") or node.type == "metavariable":
            yield node, "creates paths by macros"
        elif node.text != b"<":
            # No forbidden path has more segments; further ones are only checked for macros.
            path = (*prefix, node_bytes(node).removeprefix(b"r#"))[:LONGEST_PATH]
            reason = FORBIDDEN_PATHS.get(b"::".join(path).decode("utf-8", "replace"))
            if reason:
                yield node, f"{reason}: `{b'::'.join((b'std', *path)).decode()}`"
            elif index + 1 < len(tokens) and tokens[index + 1].text == b"::":
                waiting.append((index + 2, path))


def _branches(tokens: Sequence[AnyNode], index: int) -> Iterator[int]:
    """Yield the indices at which paths begin inside the brace at an index."""
    depth, start = 1, True
    index += 1
    while index < len(tokens) and depth:
        text = tokens[index].text
        if start and depth == 1 and text not in (b"{", b"}", b","):
            yield index
        start = text == b"," and depth == 1
        depth += (text == b"{") - (text == b"}")
        index += 1


def _attributes(nodes: Nodes, tokens: Sequence[Node]) -> Found:
    for node in nodes["attribute_item"] + nodes["inner_attribute_item"]:
        attribute = node.named_children[0]
        name = node_text(attribute.child(0)).replace(" ", "")
        allowed = INNER_ATTRIBUTES if node.type == "inner_attribute_item" else ATTRIBUTES
        tests_of_its_own = node.type == "attribute_item" and _is_test_module(node)
        if name not in allowed and not name.startswith("clippy::") and not tests_of_its_own:
            yield node, f"has an attribute that solutions do not need: `{name}`"
    # Tokens of a macro may become an attribute.
    for hash_sign, *following in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        if hash_sign.text != b"#" or not in_macro(hash_sign):
            continue
        name = next((token for token in following if token.text not in (b"!", b"[")), None)
        if name is not None and node_bytes(name).decode("utf-8", "replace") not in ATTRIBUTES:
            yield name, f"has an attribute that solutions do not need: `{node_bytes(name).decode('utf-8', 'replace')}`"


def _is_test_module(attribute: Node) -> bool:
    """Whether an attribute is the `#[cfg(test)]` of a module or a `use`, which is not compiled and has no effect."""
    following = attribute.next_named_sibling
    while following is not None and following.type in (*COMMENTS, "attribute_item"):
        following = following.next_named_sibling
    text = node_bytes(attribute).replace(b" ", b"")
    return text == b"#[cfg(test)]" and following is not None and following.type in ("mod_item", "use_declaration")


def _modules(nodes: Nodes) -> Found:
    for node in nodes["shebang"]:
        # `#!/**/[allow(..)] fn hidden() ..` is an attribute and code for the compiler, but a single token here.
        yield node, "begins like a script: the rest of the line cannot be checked"
    for node in nodes["mod_item"]:
        if node.child_by_field_name("body") is None:
            yield node, "has a module in another file"


def _macros(nodes: Nodes, tokens: Sequence[Node], checked: bool) -> Found:
    lifetimes = set()
    # A query for the parent of each token would search from the root.
    inside = {child.id for kind in MACRO_PARTS for part in nodes[kind] for child in part.children}
    for before, node in zip(tokens, tokens[1:], strict=False):
        # The rules on lifetimes and impls would not find these in a macro.
        if node.text == b"Sized" and node.id in inside:
            yield node, "creates bounds by macros"
        elif before.text == b"'" and before.id in inside:
            lifetimes.add(node.text)
            if len(lifetimes - {b"static", b"_"}) == 2:
                yield node, "creates lifetimes by macros"
    for node in nodes["fragment_specifier"]:
        if node.text == b"lifetime":
            yield node, "creates lifetimes by macros"
    for node in nodes["macro_definition"]:
        name = node_text(field(node, "name")).removeprefix("r#")
        if name in STANDARD_MACROS:
            yield node, f"replaces a macro of the standard library: `{name}`"
        elif not checked:
            yield node, f"defines a macro, which may drop its arguments: `{name}`"


def _conditions(nodes: Nodes) -> Found:
    for node in nodes["if_expression"] + nodes["while_expression"]:
        condition = field(node, "condition")
        endless = node.type == "while_expression" and condition.text == b"true"
        if condition.type in ("let_condition", "let_chain") or endless or _names_something(condition):
            continue
        yield condition, "has a condition that is always the same"


def _names_something(node: Node) -> bool:
    kinds = ("identifier", "self", "scoped_identifier", "macro_invocation", "block", "closure_expression")
    return any(below.type in kinds for below in walk(node))
