"""Tests that a candidate never sees, and the programs that put it to them.

The candidate is a crate of its own. The checker is another one: for every function asked for it has a typed `fn`
pointer to the candidate's, it counts the cases that hold, and it reports `nonce finished passed total` on a channel of
its own. The report is the verdict; the exit status says nothing. `harness_main.rs` is the checker's main.

What a candidate could try, and what stops it:

- end the process, abort it, hang, overflow the stack: then there is no report;
- write the report itself: standard output is nothing by then, the channel's number is of use to unsafe code only,
  which the compiler forbids, and the nonce is read and gone before the candidate's code runs;
- read the checker or its own memory from files, start a process, ask the network: a seccomp filter lets the process
  compute and nothing else; the nonce is neither in its arguments nor in its environment;
- lie about equality, shadow `i32` or `assert_eq!`, switch code off with `cfg`: the checker's types and macros are its
  own, and the standard library's types have one equality;
- run before main: that takes an attribute that counts as unsafe code, or a linker's option.

What remains possible in principle: a fault of the compiler that lets safe code write memory it does not own (one such,
by bounds that are implied between lifetimes, is refused by `refusals.py`; others exist), or of the kernel; tests whose
answers can be guessed or are too few; an answer of a type that the candidate defines itself, which may claim to equal
anything: check plain values. With `allow_unsafe` the candidate can do what the checker can: use it for code that does
not search for holes. Without hidden cases, when only the signature is demanded, a body that compiles is all there is
to reward, and it cannot be told from a useless one.

Tests given as text are appended to the candidate, as public benchmarks do it (HumanEval, Exercism). They share its
crate, so it can cheat them in many ways: they are for measuring, never for rewards. Demanded are exit status 0 and as
many passed tests as were given.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from tree_sitter import Node, Parser

from evaluation.rust.compiler import MODULE, ROOT
from evaluation.rust.syntax import RUST

CANDIDATES = "candidates"
CHECKER = "checker"
MAIN = Path(__file__).with_name("harness_main.rs").read_text(encoding="utf-8")
CHECKER_VERSION = sha256(MAIN.encode()).hexdigest()
ITEMS = {
    "function_item": "fn", "function_signature_item": "fn", "struct_item": "struct", "enum_item": "enum",
    "trait_item": "trait", "type_item": "type", "const_item": "const",
}  # fmt: skip
DECLARATION = (
    "declarations such as `fn add(a: i32, b: i32) -> i32;`, `struct Stack;` or `use std::collections::HashMap;`"
)


@dataclass(frozen=True)
class HiddenTests:
    """Tests in a crate of their own.

    Args:
        signature: what the candidate must define at its top level: declarations of functions, and names of types
            (`struct Stack;`), each ended by `;`; also `use` for the names they need. Type parameters must occur in
            the types of parameters or result.
        checker: statements in Rust 2021. `check!(expression)` is a case; it holds if the expression is true, and a
            panic is a case that does not. Other statements prepare. When blank, only the signature is demanded.
        allow_unsafe: accept unsafe code. It can forge its result.

    Raises `ValueError` when signature or checker is not of this form.
    """

    signature: str
    checker: str
    allow_unsafe: bool = False

    def __post_init__(self):
        if not self.declarations.items:
            raise ValueError(f"signature must have {DECLARATION}, got {self.signature!r}")
        tree = Parser(RUST).parse(f"fn checker() {{\n{self.checker}\n}}".encode())
        if tree.root_node.has_error or tree.root_node.named_child_count != 1:
            raise ValueError(f"checker must be Rust statements, got {self.checker!r}")
        if not self.blank and "check!" not in self.checker:
            raise ValueError(f"checker must have a case, `check!(...)`, got {self.checker!r}")

    @property
    def blank(self) -> bool:
        """Whether there are no cases: then only the signature is demanded."""
        return not self.checker.strip()

    @cached_property
    def declarations(self) -> "Declarations":
        """The signature, read."""
        return read_declarations(self.signature)

    @classmethod
    def parse(cls, text: str, allow_unsafe: bool = False) -> "HiddenTests":
        """From one text: the declarations first, then the checker's statements. Raises `ValueError`."""
        code = text.encode()
        end = 0
        for node in Parser(RUST).parse(code).root_node.named_children:
            if node.type not in (*ITEMS, "use_declaration", "line_comment", "block_comment") or _has_body(node):
                break
            end = node.end_byte
        # Lines of errors are then those of the text.
        checker = "\n" * code[:end].count(b"\n") + code[end:].decode()
        return cls(code[:end].decode(), checker, allow_unsafe)


@dataclass(frozen=True)
class Declarations:
    """What a candidate must define."""

    items: tuple[tuple[str, str], ...]
    """Kind and name, such as `("fn", "add")`."""
    imports: str
    """The `use` declarations."""
    pointers: str
    """Rust: for each function one of the same name and type that calls the candidate's by a typed `fn` pointer."""


def read_declarations(signature: str) -> Declarations:
    """Reads the declarations of a signature. Raises `ValueError`."""
    text = signature.strip()
    code = (text if text.endswith((";", "}")) else text + ";").encode()
    root = Parser(RUST).parse(code).root_node
    items, imports, pointers = [], [], []
    for node in root.named_children:
        if node.type == "use_declaration":
            imports.append(_text(node))
        elif node.type in ITEMS and not root.has_error:
            items.append((ITEMS[node.type], _text(node.child_by_field_name("name"))))
            if ITEMS[node.type] == "fn":
                pointers.append(_pointer(node))
        elif node.type not in ("line_comment", "block_comment", "empty_statement"):
            raise ValueError(f"signature must have {DECLARATION}, got {signature!r}")
    return Declarations(tuple(items), " ".join(imports), "\n".join(pointers))


def _pointer(function: Node) -> str:
    """A function of the same name and type that calls the candidate's by a typed pointer."""
    if _has_body(function) or any(child.type == "function_modifiers" for child in function.children):
        raise ValueError(f"signature must declare plain functions, without a body, got `{_text(function)}`")
    name = _text(function.child_by_field_name("name"))
    types = []
    for parameter in function.child_by_field_name("parameters").named_children:
        if parameter.type != "parameter":
            raise ValueError(f"signature must declare functions, not methods, got `{_text(function)}`")
        types.append(parameter.child_by_field_name("type"))
    returned = function.child_by_field_name("return_type")
    generics = _text(function.child_by_field_name("type_parameters"))
    where = " ".join(_text(child) for child in function.children if child.type == "where_clause")
    parameters = ", ".join(f"nanochat_{index}: {_text(kind)}" for index, kind in enumerate(types))
    arguments = ", ".join(f"nanochat_{index}" for index in range(len(types)))
    result = "" if returned is None else f" -> {_text(returned)}"
    pointed = "" if returned is None else f" -> {_in_pointer(returned)}"
    return (
        f"#[allow(dead_code)] fn {name}{generics}({parameters}){result} {where} {{ "
        f"let nanochat_function: fn({', '.join(map(_in_pointer, types))}){pointed} = nanochat_candidate::{name}; "
        f"nanochat_function({arguments}) }}"
    )


def _in_pointer(kind: Node) -> str:
    """A type as it may stand in a pointer's: where `impl Trait` stands the compiler finds out."""
    impls = [kind] if kind.type == "abstract_type" else _descendants(kind, "abstract_type")
    text, start = kind.text, kind.start_byte
    for node in reversed(impls):
        text = text[: node.start_byte - start] + b"_" + text[node.end_byte - start :]
    return text.decode()


def _descendants(node: Node, kind: str) -> list[Node]:
    """The outermost nodes of this kind below a node."""
    found = []
    for child in node.named_children:
        found += [child] if child.type == kind else _descendants(child, kind)
    return found


def _has_body(node: Node) -> bool:
    body = node.child_by_field_name("body")
    return body is not None and body.type == "block"


def _text(node: Node | None) -> str:
    return "" if node is None else node.text.decode()


def publish(code: bytes, tests: HiddenTests) -> tuple[bytes, list[str]]:
    """The code with the items asked for made public, and those of them that it does not define at its top level."""
    missing = dict.fromkeys(tests.declarations.items)
    edits = []
    for node in Parser(RUST).parse(code).root_node.named_children:
        item = (ITEMS.get(node.type), _text(node.child_by_field_name("name")))
        if item not in missing or node.type == "function_signature_item":
            continue
        del missing[item]
        visibility = next((child for child in node.children if child.type == "visibility_modifier"), None)
        edits.append((node.start_byte, node.start_byte) if visibility is None else visibility.byte_range)
    for start, end in sorted(edits, reverse=True):
        code = code[:start] + (b"pub " if start == end else b"pub") + code[end:]
    return code, [f"{kind} {name}" for kind, name in missing]


def checker_files(tests: Sequence[HiddenTests], together: bool) -> dict[str, bytes]:
    """The checker's crate for these candidates, which share a crate or are a single one with a crate of its own.

    First its root, then a file for each candidate. The candidates are compiled beside them and could include them, but
    for their names, which nobody can know.
    """
    secret = secrets.token_hex(16)
    names = [f"check_{index}_{secret}.rs" for index in range(len(tests))]
    modules = "".join(f'#[path = "{name}"] mod check_{index};\n' for index, name in enumerate(names))
    checks = ", ".join(f"check_{index}::nanochat_checks" for index in range(len(tests)))
    root = f"{MAIN}\n{modules}const CHECKS: [fn(); {len(tests)}] = [{checks}];\n"
    files = {f"{CHECKER}_{secret}.rs": root.encode()}
    for index, (name, test) in enumerate(zip(names, tests, strict=True)):
        path = f"::{CANDIDATES}::{MODULE}{index}" if together else f"::{CANDIDATES}"
        files[name] = _check(test, path).encode()
    return files


def _check(tests: HiddenTests, path: str) -> str:
    """The checker's statements first, so that their lines are those of its text."""
    declarations = tests.declarations
    types = ", ".join(name for kind, name in declarations.items if kind != "fn")
    return (
        f"pub fn nanochat_checks() {{ {tests.checker}\n}}\n"
        f"use {path} as nanochat_candidate; use nanochat_candidate::{{{types}}}; {declarations.imports}\n"
        f"{declarations.pointers}\n"
    )


@dataclass(frozen=True)
class Report:
    """What the checker said."""

    finished: bool
    """False when a panic outside the cases ended the checks."""
    passed: int
    total: int
    first_failed_line: int
    """1-based line of the checker's text; 0 for none."""


def read_report(stdout: bytes, nonce: str) -> Report | str | None:
    """The report; a text when the checker could not confine itself; None when there is no report."""
    text = stdout.decode("ascii", "replace")
    if text.startswith(f"{nonce} unconfined "):
        return text.removeprefix(f"{nonce} unconfined ")
    match = re.fullmatch(rf"{nonce} ([01]) (\d+) (\d+) (\d+)", text)
    if match is None:
        return None
    finished, passed, total, line = map(int, match.groups())
    return Report(bool(finished), passed, total, line)


def candidate_file(index: int, together: bool) -> str:
    """The file with the text of a candidate."""
    return f"{MODULE}{index}.rs" if together else ROOT
