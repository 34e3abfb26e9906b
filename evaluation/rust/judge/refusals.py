"""What is refused under reward rules, before any compile: what no honest solution needs and a dishonest one does.

Judged on the syntax tree and its tokens, those inside macros included; comments and texts do not count. Of what the
grammar of trees does not know the tokens alone are judged (`unparsed.py`). The compiler,
the hidden tests and the sandbox stop most of it too (`harness.py`); a refusal is cheaper, says why, and also holds
where there are no hidden tests. Where nothing but the signature is demanded, a useless body that compiles cannot be
told from a useful one in general; the rules on bodies catch the usual ones.
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
    "os": "reaches for the operating system",
    "ffi": "reaches for the operating system",
    "arch": "uses instructions of the processor",
    "intrinsics": "uses the compiler's own functions",
    "backtrace": "looks at its callers",
    "panic::set_hook": "changes what a panic does",
    "panic::take_hook": "changes what a panic does",
    "panic::update_hook": "changes what a panic does",
    "panic::panic_any": "changes what a panic does",
    "panic::resume_unwind": "changes what a panic does",
    "panic::Location": "looks at its callers",
    "alloc": "changes how memory is had",
    "include": "reads files",
    "include_str": "reads files",
    "include_bytes": "reads files",
    "option_env": "reads the environment",
    "cfg": "switches code on or off",
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
    b"cfg_attr": "switches code on or off",
    b"set_hook": "changes what a panic does",
    b"take_hook": "changes what a panic does",
}
FORBIDDEN_MACROS = {
    b"include": "reads files",
    b"env": "reads the environment",
    b"asm": "uses instructions of the processor",
    b"cfg": "switches code on or off",
    b"concat_idents": "makes names",
    b"cfg_match": "switches code on or off",
    b"cfg_select": "switches code on or off",
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


@dataclass(frozen=True)
class Refusal:
    """One reason, and what in the code gave it."""

    reason: str
    line: int
    """1-based."""
    column: int
    """1-based, in characters."""
    text: str
    """The line of the code."""

    def diagnostic(self) -> Diagnostic:
        """As verdicts have it."""
        margin = " " * len(str(self.line))
        rendered = (
            f"refused: {self.reason}\n{margin}--> candidate.rs:{self.line}:{self.column}\n{margin} |\n"
            f"{self.line} | {self.text}\n{margin} | {' ' * (self.column - 1)}^\n"
        )
        return Diagnostic(None, "refusal", self.reason, self.line, self.column, rendered)


def refusals(code: bytes, tests: HiddenTests | None = None, continued: bool = False) -> list[Refusal]:
    """Why this code earns nothing, whatever it computes; in the order of the rules, each place once.

    Args:
        code: what the compiler accepts. Where the grammar of trees does not know it, its tokens are looked at.
        tests: what it is for. Without cases, only the signature can be checked, so macros of its own are refused too:
            nobody can see what they leave of their arguments.
        continued: the code is a prompt with a body that is still empty: only what no body can mend is a reason.
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


def _rules_of_trees(root: Node, tests: HiddenTests | None, continued: bool) -> Sequence[FoundAnywhere]:
    tokens, nodes = _read(root)
    unsafe = tests is not None and tests.allow_unsafe
    checked = tests is not None and not tests.blank
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
        equality(root, tokens, nodes, tests),
        bodies(root, nodes, tests),
    )


def _rules_of_tokens(code: str, root: Node, tests: HiddenTests | None, continued: bool) -> Sequence[FoundAnywhere]:
    tokens = leaves(code)
    unsafe = tests is not None and tests.allow_unsafe
    macros = any(token.text == b"macro_rules" for token in tokens)
    lasting = _words(tokens, unsafe), _paths(tokens, defines_macros=macros)
    if continued:
        return lasting
    return *lasting, unseen(code, tokens, tests, ATTRIBUTES), idle_functions(code, root, tests)


def _read(root: Node) -> tuple[list[Node], dict[str, list[Node]]]:
    """The leaves of the tree but for comments and texts, and the named nodes by their kind."""
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
            yield node, f"uses a name that begins with `{RESERVED.decode()}`, which the checker keeps for itself"


def _paths(tokens: Sequence[AnyNode], defines_macros: bool) -> FoundAnywhere:
    """Paths into the standard library; in a `use` with braces all of them."""
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
            yield node, "makes paths by macros: `std`"


def _tree(tokens: Sequence[AnyNode], index: int, prefix: tuple[bytes, ...]) -> FoundAnywhere:
    """The paths that start here, below `prefix`."""
    waiting = [(index, prefix)]
    while waiting:
        index, prefix = waiting.pop()
        if index >= len(tokens):
            continue
        node = tokens[index]
        if node.text == b"{":
            waiting += reversed([(start, prefix) for start in _branches(tokens, index)])
        elif node.text == b"*" and not prefix:
            yield node, "takes in all names of the standard library: what it uses cannot be seen"
        elif node.text == b"self" and not prefix:
            yield node, "gives the standard library another name"
        elif node.text in (b"$", b"(") or node.type == "metavariable":
            yield node, "makes paths by macros"
        elif node.text != b"<":
            # No forbidden path has more segments; further ones are only looked at for macros.
            path = (*prefix, node_bytes(node).removeprefix(b"r#"))[:LONGEST_PATH]
            reason = FORBIDDEN_PATHS.get(b"::".join(path).decode("utf-8", "replace"))
            if reason:
                yield node, f"{reason}: `{b'::'.join((b'std', *path)).decode()}`"
            elif index + 1 < len(tokens) and tokens[index + 1].text == b"::":
                waiting.append((index + 2, path))


def _branches(tokens: Sequence[AnyNode], index: int) -> Iterator[int]:
    """Where the paths begin in the braces that are opened here."""
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
    # Tokens of a macro that may become an attribute.
    for hash_sign, *following in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        if hash_sign.text != b"#" or not in_macro(hash_sign):
            continue
        name = next((token for token in following if token.text not in (b"!", b"[")), None)
        if name is not None and node_bytes(name).decode("utf-8", "replace") not in ATTRIBUTES:
            yield name, f"has an attribute that solutions do not need: `{node_bytes(name).decode('utf-8', 'replace')}`"


def _is_test_module(attribute: Node) -> bool:
    """Whether it is `#[cfg(test)]` of a module or a `use`: what stands there is not compiled, so it does nothing."""
    following = attribute.next_named_sibling
    while following is not None and following.type in (*COMMENTS, "attribute_item"):
        following = following.next_named_sibling
    text = node_bytes(attribute).replace(b" ", b"")
    return text == b"#[cfg(test)]" and following is not None and following.type in ("mod_item", "use_declaration")


def _modules(nodes: Nodes) -> Found:
    for node in nodes["shebang"]:
        # `#!/**/[allow(..)] fn hidden() ..` is an attribute and code to the compiler, and one token here.
        yield node, "begins like a script: what follows on the line cannot be seen"
    for node in nodes["mod_item"]:
        if node.child_by_field_name("body") is None:
            yield node, "has a module in another file"


def _macros(nodes: Nodes, tokens: Sequence[Node], checked: bool) -> Found:
    lifetimes = set()
    # To ask every token for its parent would search for each from the root.
    inside = {child.id for kind in MACRO_PARTS for part in nodes[kind] for child in part.children}
    for before, node in zip(tokens, tokens[1:], strict=False):
        # What the rules on lifetimes and impls look for would not be seen in a macro.
        if node.text == b"Sized" and node.id in inside:
            yield node, "makes bounds by macros"
        elif before.text == b"'" and before.id in inside:
            lifetimes.add(node.text)
            if len(lifetimes - {b"static", b"_"}) == 2:
                yield node, "makes lifetimes by macros"
    for node in nodes["fragment_specifier"]:
        if node.text == b"lifetime":
            yield node, "makes lifetimes by macros"
    for node in nodes["macro_definition"]:
        name = node_text(field(node, "name")).removeprefix("r#")
        if name in STANDARD_MACROS:
            yield node, f"replaces a macro of the standard library: `{name}`"
        elif not checked:
            yield node, f"defines a macro, which may drop what it is given: `{name}`"


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
