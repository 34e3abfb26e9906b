"""Turns published tests into hidden ones: every assertion becomes a case."""

import re
from collections.abc import Iterator

from tree_sitter import Node, Parser

from evaluation.rust.harness import HiddenTests
from evaluation.rust.nodes import name_of, walk
from evaluation.rust.syntax import COMMENTS, RUST

COMPARISONS = {"assert_eq": "==", "assert_ne": "!=", "debug_assert_eq": "==", "debug_assert_ne": "!="}
CONDITIONS = {"assert", "debug_assert"}
# Holds if the body panics as demanded: with the given text in its message, or with any.
PANICS = (
    "check!(match std::panic::catch_unwind(|| {body}) {{ Ok(_) => false, Err(payload) => {{ let expected: &str = "
    "{expected}; let told = payload.downcast_ref::<&str>().map(|text| text.to_string())"
    ".or_else(|| payload.downcast_ref::<String>().cloned()); "
    "expected.is_empty() || told.map_or(false, |told| told.contains(expected)) }} }})"
)
IGNORED = re.compile(r"#\[(allow|expect|warn|deny|doc|rustfmt|clippy|inline|derive|cfg\(test\)|test\]|must_use|repr)")
REFUSED_MACROS = {"assert_matches", "debug_assert_matches", "panic_any"}


def as_hidden_tests(signature: str, tests: str, allow_unsafe: bool = False) -> HiddenTests:
    """Hidden tests made of functions with `#[test]`, or of a `fn main`, and their assertions.

    Helpers and modules beside the tests are kept. A test that should panic is one case, which holds if it does; a
    test that returns a `Result` is one that holds if it is `Ok`. Names of the candidate may be reached by `super`
    and `crate`, which lead nowhere else. Whoever publishes tests must expect that candidates have seen them; but they
    can no longer be cheated by what only shares a crate with them.

    Args:
        signature: as in `HiddenTests`.
        tests: the text, as it would be appended to a candidate.

    Raises `ValueError` when there is no test with an assertion in it, and for what cannot be translated, and where.
    """
    root = Parser(RUST).parse(tests.encode()).root_node
    if root.has_error:
        raise ValueError(f"tests must be Rust that can be read, got {tests[:200]!r}")
    helpers, bodies = [], []
    for node, attributes in _items(root, in_tests=False):
        is_main = node.type == "function_item" and name_of(node) == "main"
        if is_main or "#[test]" in attributes:
            bodies.append(_test(node, attributes))
        else:
            text = _translated(node)
            if text.strip():
                helpers += [*(a for a in attributes if not a.startswith("#[cfg(test)")), text]
    checker = "\n".join([*helpers, *bodies])
    if "check!" not in checker:
        raise ValueError(f"tests must have functions with #[test], or a fn main, with assertions, got {tests[:200]!r}")
    return HiddenTests(signature, checker, allow_unsafe)


def _refuse(node: Node, what: str, instead: str) -> ValueError:
    line = node.start_point[0] + 1
    return ValueError(f"tests must be ones that can be hidden, line {line} has {what}: {instead}")


def _items(root: Node, in_tests: bool) -> Iterator[tuple[Node, list[str]]]:
    """The items of a file and of its modules for tests, each with its attributes."""
    attributes: list[str] = []
    for node in root.named_children:
        if node.type in COMMENTS:
            continue
        if node.type == "attribute_item":
            text = "".join(node.text.decode().split()) if b'"' not in node.text else node.text.decode()
            if not IGNORED.match(text) and not text.startswith("#[should_panic"):
                raise _refuse(node, f"`{text}`", "leave it out, with its test if it must not run")
            attributes.append(text)
            continue
        if node.type == "mod_item" and ("#[cfg(test)]" in attributes or _has_tests(node)):
            if in_tests:
                raise _refuse(
                    node, f"the module `{name_of(node)}` of tests in another", "put its tests beside the others"
                )
            yield from _items(node.child_by_field_name("body"), in_tests=True)
        elif node.type == "inner_attribute_item" or node.type == "extern_crate_declaration":
            raise _refuse(node, f"`{node.text.decode()}`", "leave it out")
        elif node.type.endswith(("_item", "_declaration", "_definition")) or node.type == "macro_invocation":
            yield node, attributes
        attributes = []


def _has_tests(module: Node) -> bool:
    return any(node.type == "attribute_item" and b"test" in node.text for node in walk(module))


def _test(function: Node, attributes: list[str]) -> str:
    """One test: a block of its cases."""
    modifiers = [child.text.decode() for child in function.children if child.type == "function_modifiers"]
    if modifiers or function.child_by_field_name("parameters").named_child_count:
        what = f"the test `{name_of(function)}` that is {modifiers[0] if modifiers else 'given parameters'}"
        raise _refuse(function, what, "write a plain function")
    body, returned = function.child_by_field_name("body"), function.child_by_field_name("return_type")
    panics = next((each for each in attributes if each.startswith("#[should_panic")), None)
    if panics is not None:
        if returned is not None:
            raise _refuse(function, "a test that should panic and returns something", "let it return nothing")
        expected = re.search(r'"(?:[^"\\]|\\.)*"', panics, re.DOTALL)
        # Assertions in it stay what they are: to fail is to panic.
        text = expected.group() if expected else '""'
        return f"{{ {PANICS.format(body=_translated(body, cases=False), expected=text)}; }}"
    if returned is None:
        return _translated(body)
    kind = returned.text.decode()
    if "Result" not in kind:
        raise _refuse(function, f"a test that returns `{kind}`", "let it return nothing, or a Result")
    # `?` leaves the whole test, also from within an assertion: the test is one case.
    return f"{{ check!({{ fn returning() -> {kind} {_translated(body, cases=False)} returning().is_ok() }}); }}"


def _translated(node: Node, cases: bool = True) -> str:
    """The text of a node: its assertions are cases, its paths to the candidate are names."""
    edits: list[tuple[int, int, bytes]] = []
    waiting = [node]
    while waiting:
        part = waiting.pop()
        new = None
        if part.type == "macro_definition" and b"assert" in part.text:
            raise _refuse(part, "a macro with assertions in it", "write a function")
        if part.type in ("use_declaration", "scoped_identifier", "scoped_type_identifier"):
            new = _path(part)
        elif part.type == "macro_invocation":
            new = _case(part) if cases else None
            if new is None and re.search(rb"\b(?:super|crate)\s*::", part.text):
                new = re.sub(rb"\b(?:super|crate)\s*::\s*", b"", part.text)
        if new is None:
            waiting += part.children
        else:
            edits.append((part.start_byte - node.start_byte, part.end_byte - node.start_byte, new))
    text = node.text
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text.decode()


def _path(node: Node) -> bytes | None:
    """What stands for a path that leads to the candidate; None for other paths.

    Its functions are in scope everywhere in the checker, but in modules of the checker's own.
    """
    text = b" ".join(node.text.split())
    leading = re.match(rb"(?:use )?(?:(?:super|crate) ?:: ?)+", text)
    if leading is None:
        return None
    above = node.parent
    while above is not None and above.type != "mod_item":
        above = above.parent
    if above is not None and not _has_tests(above):
        raise _refuse(node, f"`{text.decode()}` in the module `{name_of(above)}`", "put its items beside the tests")
    if not text.startswith(b"use "):
        return text[leading.end() :]
    names = text[leading.end() :].rstrip(b"; ")
    if not re.fullmatch(rb"\*|\w+|\{ ?(?:(?:\w+|\*) ?,? ?)*\}", names):
        raise _refuse(node, f"`{text.decode()}`", "name what it uses, without `as` or further paths")
    return b""


def _case(macro: Node) -> bytes | None:
    """The case that an assertion stands for; None for other macros."""
    name = re.sub(r"^(::)?\s*(std|core)\s*::\s*", "", macro.child_by_field_name("macro").text.decode())
    if name in REFUSED_MACROS or (name.startswith("assert") and name not in (*COMPARISONS, *CONDITIONS)):
        raise _refuse(macro, f"`{name}!`", "write it with assert!, assert_eq! or assert_ne!")
    tokens = macro.named_children[-1]
    if tokens.type != "token_tree" or name not in (*COMPARISONS, *CONDITIONS):
        if re.search(rb"\bassert\w*\s*!", macro.text.partition(b"!")[2]) and b'"' not in macro.text:
            raise _refuse(macro, f"an assertion within `{name}!`", "take it out")
        return None
    start = tokens.start_byte
    inner = tokens.text[1:-1]
    commas = [child.start_byte - start - 1 for child in tokens.children if child.type == ","] + [len(inner)]
    # A comma may be one between type arguments: sides must be expressions.
    found = None
    if name in CONDITIONS:
        ends = [end for end in commas if _is_expression(inner[:end])]
        found = b"check!(%s)" % inner[: ends[0]].strip() if ends else None
    for middle in commas if name in COMPARISONS else ():
        ends = [end for end in commas if end > middle and _is_expression(inner[middle + 1 : end])]
        if ends and _is_expression(inner[:middle]):
            left, right = inner[:middle].strip(), inner[middle + 1 : ends[0]].strip()
            found = b"check!((%s) %s (%s))" % (left, COMPARISONS[name].encode(), right)
            break
    if found is None:
        raise _refuse(macro, f"`{name}!` whose sides cannot be told", "put them in parentheses")
    return re.sub(rb"\b(?:super|crate)\s*::\s*", b"", found)


def _is_expression(text: bytes) -> bool:
    return bool(text.strip()) and not Parser(RUST).parse(b"fn f() { (%s); }" % text).root_node.has_error
