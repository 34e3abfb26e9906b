"""What is refused under reward rules, before any compile: what no honest solution needs and a dishonest one does.

Judged on the syntax tree and its tokens, those inside macros included; comments and texts do not count. The compiler,
the hidden tests and the sandbox stop most of it too (`harness.py`); a refusal is cheaper, says why, and also holds
where there are no hidden tests. Where nothing but the signature is demanded, a useless body that compiles cannot be
told from a useful one in general; the rules on bodies catch the usual ones.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from tree_sitter import Node, Parser

from evaluation.rust.harness import HiddenTests
from evaluation.rust.syntax import COMMENTS, PLACEHOLDER_MACROS, RUST, is_placeholder
from evaluation.rust.verdict import Diagnostic

TEXTS = {"string_literal", "raw_string_literal", "char_literal"}
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
    "include": "reads files", "include_str": "reads files", "include_bytes": "reads files",
    "option_env": "reads the environment",
    "cfg": "switches code on or off",
    "mem::transmute": "is unsafe",
}  # fmt: skip
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
    b"include": "reads files", b"env": "reads the environment", b"asm": "uses instructions of the processor",
    b"cfg": "switches code on or off", b"concat_idents": "makes names", b"cfg_match": "switches code on or off",
    b"cfg_select": "switches code on or off",
}  # fmt: skip
STANDARD_MACROS = {
    "assert", "assert_eq", "assert_ne", "cfg", "column", "compile_error", "concat", "dbg", "debug_assert",
    "debug_assert_eq", "debug_assert_ne", "env", "eprint", "eprintln", "file", "format", "format_args", "include",
    "include_bytes", "include_str", "is_x86_feature_detected", "line", "matches", "module_path", "option_env", "panic",
    "print", "println", "stringify", "thread_local", "todo", "try", "unimplemented", "unreachable", "vec", "write",
    "writeln",
}  # fmt: skip
ATTRIBUTES = {
    "allow", "warn", "deny", "forbid", "expect", "doc", "derive", "inline", "must_use", "cold", "track_caller",
    "non_exhaustive", "repr", "default", "deprecated", "test", "ignore", "should_panic", "macro_export", "macro_use",
    "automatically_derived", "diagnostic::on_unimplemented", "diagnostic::do_not_recommend", "rustfmt::skip",
}  # fmt: skip
INNER_ATTRIBUTES = {"allow", "warn", "deny", "forbid", "expect", "doc"}
RESERVED = b"nanochat_"
# What an iterator says about its items; whoever writes these anew can say anything.
JUDGEMENTS = {b"eq", b"ne", b"lt", b"le", b"gt", b"ge", b"cmp", b"partial_cmp", b"all", b"any"}
COMPARISONS = {b"PartialEq", b"PartialOrd"}
LEAVING = {"return", "break", "?"}
BRANCHES = {
    "if", "match", "while", "for", "?", "&&", "||", "|", "return", "break", "else", "async", "macro_invocation",
}  # fmt: skip
EFFECTS = {
    "call_expression", "macro_invocation", "assignment_expression", "compound_assignment_expr", "return_expression",
    "break_expression", "continue_expression", "if_expression", "match_expression", "loop_expression",
    "while_expression", "for_expression", "block", "try_expression", "await_expression",
}  # fmt: skip
IDLE_CALLS = {b"drop", b"forget", b"black_box"}


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


def refusals(code: bytes, tests: HiddenTests | None = None) -> list[Refusal]:
    """Why this code earns nothing, whatever it computes; in the order of the rules, each place once.

    Args:
        code: a text whose syntax tree has no errors; of another the tree says too little.
        tests: what it is for. Without cases, only the signature can be checked, so macros of its own are refused too:
            nobody can see what they leave of their arguments.
    """
    root = Parser(RUST).parse(code).root_node
    tokens, nodes = _read(root)
    unsafe = tests is not None and tests.allow_unsafe
    checked = tests is not None and not tests.blank
    rules = (
        _words(tokens, unsafe), _paths(tokens, defines_macros=bool(nodes["macro_definition"])),
        _attributes(nodes, tokens), _modules(nodes), _macros(nodes, tokens, checked), _conditions(nodes),
        _lifetimes(nodes), _impls(nodes), _equality(root, tokens, nodes, tests), _bodies(root, nodes, tests),
    )  # fmt: skip
    found = {}
    lines = code.split(b"\n")
    for rule in rules:
        for node, reason in rule:
            row, column = node.start_point
            line = lines[row] if row < len(lines) else b""
            characters = len(line[:column].decode("utf-8", "replace"))
            found.setdefault((reason, row), Refusal(reason, row + 1, characters + 1, line.decode("utf-8", "replace")))
    return list(found.values())


Nodes = dict[str, list[Node]]
Found = Iterator[tuple[Node, str]]


def _walk(node: Node, skipped: Callable[[Node], bool] = lambda node: False) -> Iterator[Node]:
    """The node and all below it, in the order of the text; nothing of what is skipped. Trees can be very deep."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if not skipped(node):
            yield node
            waiting += reversed(node.children)


def _read(root: Node) -> tuple[list[Node], dict[str, list[Node]]]:
    """The leaves of the tree but for comments and texts, and the named nodes by their kind."""
    tokens, nodes = [], defaultdict(list)
    for node in _walk(root, lambda node: node.type in COMMENTS or node.type in TEXTS):
        if node.is_named:
            nodes[node.type].append(node)
        if not node.child_count:
            tokens.append(node)
    return tokens, nodes


def _words(tokens: Sequence[Node], unsafe_allowed: bool) -> Found:
    for node, following in zip_longest(tokens, tokens[1:]):
        word = node.text.removeprefix(b"r#")
        if word == b"unsafe" and not unsafe_allowed:
            yield node, "has unsafe code"
        elif word in FORBIDDEN_WORDS:
            yield node, f"{FORBIDDEN_WORDS[word]}: `{word.decode()}`"
        elif word in FORBIDDEN_MACROS and following is not None and following.text == b"!":
            yield node, f"{FORBIDDEN_MACROS[word]}: `{word.decode()}!`"
        elif word.startswith(RESERVED):
            yield node, f"uses a name that begins with `{RESERVED.decode()}`, which the checker keeps for itself"


def _paths(tokens: Sequence[Node], defines_macros: bool) -> Found:
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
        elif defines_macros and node.text == b"std" and _in_macro(node):
            yield node, "makes paths by macros: `std`"


def _in_macro(node: Node) -> bool:
    return node.parent is not None and node.parent.type in ("token_tree", "token_tree_pattern")


def _tree(tokens: Sequence[Node], index: int, prefix: tuple[bytes, ...]) -> Found:
    """The paths that start here, below `prefix`."""
    if index >= len(tokens):
        return
    node = tokens[index]
    if node.text == b"{":
        depth, start = 1, True
        index += 1
        while index < len(tokens) and depth:
            text = tokens[index].text
            if start and depth == 1 and text not in (b"{", b"}", b","):
                yield from _tree(tokens, index, prefix)
            start = text == b"," and depth == 1
            depth += (text == b"{") - (text == b"}")
            index += 1
        return
    if node.text == b"*" and not prefix:
        yield node, "takes in all names of the standard library: what it uses cannot be seen"
    elif node.text == b"self" and not prefix:
        yield node, "gives the standard library another name"
    elif node.text in (b"$", b"(") or node.type == "metavariable":
        yield node, "makes paths by macros"
    elif node.text == b"<":
        return
    else:
        path = (*prefix, node.text.removeprefix(b"r#"))
        reason = FORBIDDEN_PATHS.get(b"::".join(path).decode())
        if reason:
            yield node, f"{reason}: `{b'::'.join((b'std', *path)).decode()}`"
        elif index + 1 < len(tokens) and tokens[index + 1].text == b"::":
            yield from _tree(tokens, index + 2, path)


def _attributes(nodes: Nodes, tokens: Sequence[Node]) -> Found:
    for node in nodes["attribute_item"] + nodes["inner_attribute_item"]:
        attribute = node.named_children[0]
        name = attribute.child(0).text.decode().replace(" ", "")
        allowed = INNER_ATTRIBUTES if node.type == "inner_attribute_item" else ATTRIBUTES
        tests_of_its_own = node.type == "attribute_item" and _is_test_module(node)
        if name not in allowed and not name.startswith("clippy::") and not tests_of_its_own:
            yield node, f"has an attribute that solutions do not need: `{name}`"
    # Tokens of a macro that may become an attribute.
    for hash_sign, *following in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        if hash_sign.text != b"#" or not _in_macro(hash_sign):
            continue
        name = next((token for token in following if token.text not in (b"!", b"[")), None)
        if name is not None and name.text.decode("utf-8", "replace") not in ATTRIBUTES:
            yield name, f"has an attribute that solutions do not need: `{name.text.decode('utf-8', 'replace')}`"


def _is_test_module(attribute: Node) -> bool:
    """Whether it is `#[cfg(test)]` of a module or a `use`: what stands there is not compiled, so it does nothing."""
    following = attribute.next_named_sibling
    while following is not None and following.type in (*COMMENTS, "attribute_item"):
        following = following.next_named_sibling
    text = attribute.text.replace(b" ", b"")
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
    for before, node in zip(tokens, tokens[1:], strict=False):
        # What the rules on lifetimes and impls look for would not be seen in a macro.
        if node.text == b"Sized" and _in_macro(node):
            yield node, "makes bounds by macros"
        elif before.text == b"'" and _in_macro(before):
            lifetimes.add(node.text)
            if len(lifetimes - {b"static", b"_"}) == 2:
                yield node, "makes lifetimes by macros"
    for node in nodes["fragment_specifier"]:
        if node.text == b"lifetime":
            yield node, "makes lifetimes by macros"
    for node in nodes["macro_definition"]:
        name = node.child_by_field_name("name").text.decode().removeprefix("r#")
        if name in STANDARD_MACROS:
            yield node, f"replaces a macro of the standard library: `{name}`"
        elif not checked:
            yield node, f"defines a macro, which may drop what it is given: `{name}`"


def _conditions(nodes: Nodes) -> Found:
    for node in nodes["if_expression"] + nodes["while_expression"]:
        condition = node.child_by_field_name("condition")
        endless = node.type == "while_expression" and condition.text == b"true"
        if condition.type in ("let_condition", "let_chain") or endless or _names_something(condition):
            continue
        yield condition, "has a condition that is always the same"


def _names_something(node: Node) -> bool:
    kinds = ("identifier", "self", "scoped_identifier", "macro_invocation", "block", "closure_expression")
    return any(below.type in kinds for below in _walk(node))


def _lifetimes(nodes: Nodes) -> Found:
    for function in nodes["function_item"]:
        parameters = function.child_by_field_name("type_parameters")
        if parameters is None:
            continue
        body = function.child_by_field_name("body")
        declared = {
            parameter.child_by_field_name("name").text: parameter
            for parameter in parameters.named_children
            if parameter.type == "lifetime_parameter"
        }
        # Bounds of types use a lifetime, bounds of other lifetimes do not.
        signature = _walk(function, lambda node, body=body: node == body or node.type == "lifetime_parameter")
        used = {node.text for node in signature if node.type == "lifetime"}
        for name, parameter in declared.items():
            if name not in used:
                yield parameter, f"declares a lifetime it never uses: `{name.decode()}`"
    traits = [node.child_by_field_name("trait") for node in nodes["impl_item"]]
    places = [node.child_by_field_name("type") for node in nodes["parameter"] + nodes["impl_item"]]
    places += (
        nodes["function_type"] + nodes["higher_ranked_trait_bound"] + [trait for trait in traits if trait is not None]
    )
    for place in places:
        names = {node.text for node in _walk(place) if node.type == "lifetime"} - {b"'static", b"'_"}
        if len(names) > 1:
            yield place, "has one type with two lifetimes: what the compiler infers from that is not sound"


def _impls(nodes: Nodes) -> Found:
    """`impl<T: ?Sized> Trait for T` with a type in it: `dyn Trait` then has two such types, and each is the other."""
    for node in nodes["impl_item"]:
        parameters, body = node.child_by_field_name("type_parameters"), node.child_by_field_name("body")
        if parameters is None or body is None or node.child_by_field_name("trait") is None:
            continue
        names = {below.text for below in _walk(parameters) if below.type == "type_identifier"}
        header = _walk(node, lambda below, body=body: below == body)
        unsized = any(below.type == "removed_trait_bound" for below in header)
        associated = any(child.type == "type_item" for child in body.named_children)
        if unsized and associated and node.child_by_field_name("type").text in names:
            yield node, "has a trait with a type for all types: what the compiler infers from that is not sound"


def _equality(root: Node, tokens: Sequence[Node], nodes: Nodes, tests: HiddenTests | None) -> Found:
    """Where the cases compare values of the candidate's own types: it may not say what is equal."""
    if tests is None or tests.blank:
        return
    demanded = {name.encode() for kind, name in tests.declarations.items if kind != "fn"}
    if demanded:
        yield from _own_comparisons(tokens, nodes, demanded)
        yield from _false_variants(root, tests)
    if "Iterator" not in tests.signature:
        return
    for implementation in nodes["impl_item"]:
        for node in _walk(implementation):
            if node.type == "function_item" and _name(node).encode() in JUDGEMENTS:
                yield node, f"replaces how an iterator is judged: `{_name(node)}`"


def _own_comparisons(tokens: Sequence[Node], nodes: Nodes, demanded: set[bytes]) -> Found:
    own = {_name(node).encode() for kind in ("struct_item", "enum_item") for node in nodes[kind]} - demanded
    own -= {_name(node).encode() for node in nodes["type_item"]}
    own -= {node.child_by_field_name("alias").text for node in nodes["use_as_clause"]}
    for node in nodes["impl_item"]:
        trait = node.child_by_field_name("trait")
        if trait is None:
            continue
        name, kind = (_without_arguments(part).text for part in (trait, node.child_by_field_name("type")))
        name = name.rpartition(b"::")[2].strip()
        if name in COMPARISONS and (trait.type == "generic_type" or (name == b"PartialEq" and kind not in own)):
            yield node, f"says itself what its answers are equal to: `impl {trait.text.decode()}`"
    for node, following in zip_longest(tokens, tokens[1:]):
        renamed = following is not None and following.text == b"as"
        if node.text in COMPARISONS and (renamed or _in_macro(node) and not _is_derived(node)):
            yield node, f"gives `{node.text.decode()}` by other ways than an impl"


def _without_arguments(kind: Node) -> Node:
    return kind.child_by_field_name("type") if kind.type == "generic_type" else kind


def _is_derived(node: Node | None) -> bool:
    while node is not None and node.type not in ("macro_definition", "macro_invocation", "attribute"):
        node = node.parent
    return node is not None and node.type == "attribute"


def _false_variants(root: Node, tests: HiddenTests) -> Found:
    """Constants and functions that look like an enum's variants may all be one."""
    demanded = {name for kind, name in tests.declarations.items if kind == "enum"}
    for node in root.named_children:
        if node.type != "enum_item" or _name(node) not in demanded:
            continue
        body = node.child_by_field_name("body")
        variants = {_name(child) for child in body.named_children if child.type == "enum_variant"}
        for name in re.findall(rf"\b{_name(node)}::([A-Z]\w*)", tests.checker):
            if name not in variants:
                yield node, f"`{_name(node)}` has no variant `{name}`"
                break


def _bodies(root: Node, nodes: Nodes, tests: HiddenTests | None) -> Found:
    if tests is None:
        if all(is_placeholder(function) or _only_ends(function) for function in nodes["function_item"]):
            yield root, "has no function that does something"
        return
    demanded = {name for kind, name in tests.declarations.items if kind == "fn"}
    for function in root.named_children:
        if function.type != "function_item" or _name(function) not in demanded:
            continue
        if is_placeholder(function) or _only_ends(function):
            yield function, f"`fn {_name(function)}` does nothing"
        elif not nodes["macro_definition"] and _never_returns(function):
            yield function, f"`fn {_name(function)}` never returns"
        elif _ignores_parameters(function):
            yield function, f"`fn {_name(function)}` never looks at its parameters"


def _name(node: Node) -> str:
    name = node.child_by_field_name("name")
    return "" if name is None else name.text.decode()


def _only_ends(function: Node) -> bool:
    """Whether the body is a single call of the function itself, an endless empty loop, or a default."""
    statements = [child for child in function.child_by_field_name("body").named_children if child.type not in COMMENTS]
    if len(statements) != 1:
        return False
    inner = statements[0].named_children[0] if statements[0].type == "expression_statement" else statements[0]
    if inner.type == "return_expression" and inner.named_child_count:
        inner = inner.named_children[0]
    if inner.type in ("loop_expression", "while_expression"):
        return not inner.child_by_field_name("body").named_child_count
    if inner.type != "call_expression":
        return False
    called = inner.child_by_field_name("function").text.decode().rpartition("::")[2].strip()
    return called in (_name(function), "default", "exit", "abort")


def _never_returns(function: Node) -> bool:
    """Whether it calls itself in any case, or every way through its body ends in a panic or an endless loop."""
    body = function.child_by_field_name("body")
    if any(node.type == "function_item" and _name(node) == _name(function) for node in _walk(body)):
        return False
    inside = list(_walk(body, _is_item))
    kinds = {node.type for node in inside}
    calls = {node.child_by_field_name("function").text for node in inside if node.type == "call_expression"}
    if _name(function).encode() in calls and not kinds & BRANCHES:
        return True
    return not kinds & {"return", "?"} and _diverges(body)


def _diverges(node: Node | None) -> bool:
    if node is None:
        return False
    children = [child for child in node.named_children if child.type not in COMMENTS]
    if children and children[0].type == "label" and node.type == "block":
        return False
    if node.type in ("block", "expression_statement", "else_clause"):
        return bool(children) and _diverges(children[-1])
    if node.type == "if_expression":
        return all(_diverges(node.child_by_field_name(name)) for name in ("consequence", "alternative"))
    if node.type == "match_expression":
        arms = [child for child in node.child_by_field_name("body").named_children if child.type == "match_arm"]
        return bool(arms) and all(_diverges(arm.child_by_field_name("value")) for arm in arms)
    if node.type == "loop_expression":
        return not any(below.type in LEAVING for below in _walk(node))
    if node.type == "macro_invocation":
        return node.child_by_field_name("macro").text.decode().rpartition("::")[2].strip() in PLACEHOLDER_MACROS
    return False


def _is_item(node: Node) -> bool:
    """What is within a function and cannot see its parameters."""
    return node.type.endswith("_item") and node.type not in ("attribute_item", "inner_attribute_item")


def _ignores_parameters(function: Node) -> bool:
    """Whether the body uses none of the parameters; statements that name them and do nothing are no use."""
    parameters = function.child_by_field_name("parameters")
    patterns = [node.child_by_field_name("pattern") for node in parameters.named_children if node.type == "parameter"]
    names = {
        node.text
        for pattern in patterns
        for node in _walk(pattern)
        if node.type in ("identifier", "shorthand_field_identifier")
    }
    if not names:
        return bool(patterns)
    formats = [b"{" + name for name in names]
    for node in _walk(function.child_by_field_name("body"), _is_no_use):
        if node.text in names or (node.type in TEXTS and any(name in node.text for name in formats)):
            return False
    return True


def _is_no_use(node: Node) -> bool:
    if node.type == "let_declaration":
        value = node.child_by_field_name("value")
        if value is None or _has_effect(value) or node.child_by_field_name("alternative") is not None:
            return False
        pattern = _walk(node.child_by_field_name("pattern"))
        bound = [below.text for below in pattern if below.type in ("identifier", "shorthand_field_identifier")]
        return all(name.startswith(b"_") and node.parent.text.count(name) == 1 for name in bound)
    if node.type != "expression_statement":
        return _is_item(node)
    inner = node.named_children[0]
    if inner.type == "assignment_expression":
        return inner.child_by_field_name("left").text == b"_" and not _has_effect(inner.child_by_field_name("right"))
    if inner.type == "call_expression" and node.next_named_sibling is not None:
        called = inner.child_by_field_name("function").text.rpartition(b"::")[2].strip()
        return called in IDLE_CALLS and not _has_effect(inner.child_by_field_name("arguments"))
    return not _has_effect(inner)


def _has_effect(node: Node) -> bool:
    return any(below.type in EFFECTS for below in _walk(node))
