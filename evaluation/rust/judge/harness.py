"""
Hidden tests, which a candidate never sees, and the programs that run them.

The candidate is a crate without unsafe code. The checker is another crate, which counts the cases that hold and
reports them on its own channel. The report decides the verdict, not the exit status.

Where the signature allows it (`separate.py`), checker and candidate run in two processes. The process of the checker
has functions of the demanded types that send their arguments to the candidate's process and return its answers. Even a
candidate with access to all memory of its process would find only the arguments of the call and could only answer it.
Tests with types of the candidate, generic functions or closures are linked with the candidate and share its process.

What a candidate could try, and what prevents it:

- end or abort the process, hang, overflow the stack: the report of the end is missing;
- write the report itself: its process has no channel for it. In a shared process, standard output is closed by then,
  using the channel's descriptor takes unsafe code, which the compiler forbids, and the nonce is read and erased before
  the candidate's code runs;
- change the counters through a compiler bug: its process has no counters. In a shared process they are authenticated
  with keys that are checked outside; only a candidate that finds the keys in memory can forge them;
- read the checker or its own memory from files, start a process, use the network: a seccomp filter allows only
  computation, and the nonce is neither in the arguments nor in the environment;
- lie about equality, shadow `i32` or `assert_eq!`, disable code with `cfg`: types and macros of the checker are its
  own, and the standard library's types have a fixed equality;
- run before main: this takes an attribute that counts as unsafe code, or an option of the linker.

What remains possible: a kernel bug; in a shared process, a compiler bug that lets safe code access memory it does not
own (known ones are refused by their shape, `refused_holes.py`); tests that are too few or whose answers can be
guessed; an answer of a type that the candidate defines, which may claim to equal anything, so that tests should check
plain values. With `allow_unsafe` a candidate that shares the checker's process can do all that the checker can: use it
only for code that does not search for exploits. Without cases, only the signature is demanded, and any body that
compiles is rewarded, useful or not.

Tests given as text (`appended.py`) share the candidate's crate and are meant for benchmarks.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from tree_sitter import Parser

from evaluation.rust.judge import separate
from evaluation.rust.rustc.compiler import MODULE, ROOT
from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.declarations import DECLARATION, ITEMS, Declarations, has_body, read_declarations
from evaluation.rust.syntax.tokens import is_balanced, tokens, top_level

CANDIDATES = "candidates"
CHECKER = "checker"
MODIFIERS = {"const", "async", "unsafe", "safe", "extern"}


@dataclass(frozen=True)
class HiddenTests:
    """
    Tests in a crate of their own, which a candidate never sees.

    Args:
        signature: Declarations of the items that the candidate must define at its top level, each ended by `;`:
            functions, and names of types (`struct Stack;`); also `use` for the names they need. Type parameters must
            occur in the types of parameters or in the return type.
        checker: Statements in Rust 2021. `check!(expression)` is a case, which holds if the expression is true and
            fails if it is false or panics. Other statements prepare cases. If blank, only the signature is demanded.
            If all demanded items are functions of plain values, the checker runs in a process without the candidate
            (see `shared_because`).
        allow_unsafe: Accept unsafe code, which can forge its result.

    Raises:
        ValueError: The signature or the checker does not have this form.
    """

    signature: str
    checker: str
    allow_unsafe: bool = False

    def __post_init__(self):
        for name in ("signature", "checker"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be Rust as text, got {type(getattr(self, name)).__name__}")
        if not self.declarations.items:
            raise ValueError(f"signature must have {DECLARATION}, got {self.signature!r}")
        reserved = [name for _, name in self.declarations.items if name.startswith("nanochat_")]
        if reserved:
            raise ValueError(
                f"names in signature must not begin with `nanochat_`, which the harness uses, got {reserved}"
            )
        if not is_balanced(self.checker):
            raise ValueError(f"checker must be Rust statements, got {self.checker!r}")
        if not self.blank and "check!" not in self.checker:
            raise ValueError(f"checker must have a case, `check!(...)`, got {self.checker!r}")

    @property
    def blank(self) -> bool:
        """Whether there are no cases, so that only the signature is demanded."""
        return not self.checker.strip()

    @cached_property
    def declarations(self) -> Declarations:
        """The parsed signature."""
        return read_declarations(self.signature)

    @cached_property
    def shared_because(self) -> str | None:
        """Why the checker must share a process with the candidate; None if each has its own."""
        return separate.obstacle(self.declarations, self.checker)

    def __getstate__(self) -> dict[str, str | bool]:
        # Syntax trees cannot be pickled.
        return {name: self.__dict__[name] for name in ("signature", "checker", "allow_unsafe")}

    @classmethod
    def parse(cls, text: str, allow_unsafe: bool = False) -> "HiddenTests":
        """Parse a text with declarations first and then the checker's statements. Raises `ValueError`."""
        code = text.encode()
        end = 0
        for node in Parser(RUST).parse(code).root_node.named_children:
            if node.type not in (*ITEMS, "use_declaration", "line_comment", "block_comment") or has_body(node):
                break
            end = node.end_byte
        # Keeps the line numbers of errors.
        checker = "\n" * code[:end].count(b"\n") + code[end:].decode()
        return cls(code[:end].decode(), checker, allow_unsafe)


def publish(code: bytes, tests: HiddenTests) -> tuple[bytes, list[str]]:
    """Return the code with the demanded items made public, and those that it does not define at its top level."""
    text = code.decode()
    missing = dict.fromkeys(tests.declarations.items)
    found = list(tokens(text))
    edits = []
    for index, name, kind in top_level(found):
        if (kind, name.text) not in missing:
            continue
        del missing[kind, name.text]
        first = index - 1
        while first and (found[first - 1].text in MODIFIERS or found[first - 1].kind == "literal"):
            first -= 1
        visible = first - 1
        if first and found[visible].text == ")":
            while visible and found[visible].text != "(":
                visible -= 1
            visible -= 1
        if visible >= 0 and found[visible].text == "pub":
            edits.append((found[visible].start, found[first - 1].end, "pub"))
        else:
            edits.append((found[first].start, found[first].start, "pub "))
    for start, end, visibility in sorted(edits, reverse=True):
        text = text[:start] + visibility + text[end:]
    return text.encode(), [f"{kind} {name}" for kind, name in missing]


def server_files(tests: Sequence[HiddenTests], inside: bool) -> dict[str, bytes]:
    """
    Return the files of the program that serves calls of candidates: its root, then a file for each candidate.

    Args:
        tests: Hidden tests of each candidate.
        inside: Whether the candidates are modules of the program; otherwise there is a single one in its own crate. In
            the program they can only learn the arguments of their calls.
    """
    texts = []
    for index, test in enumerate(tests):
        path = f"crate::{MODULE}{index}" if inside else f"::{CANDIDATES}"
        texts.append(
            f"use {path} as nanochat_candidate; {test.declarations.imports}\n{separate.server(test.declarations)}"
        )
    modules = [f"{MODULE}{index}" for index in range(len(tests))] if inside else []
    kind = "fn(u32, &mut nanochat_harness::Question, &mut nanochat_harness::Answer)"
    return _program("calls", texts, kind, "serve", modules)


def checker_files(tests: Sequence[HiddenTests]) -> dict[str, bytes]:
    """Return the files of the program that runs tests in a process without candidates: its root, then one for each."""
    texts = [f"{_checks(test)}{test.declarations.imports}\n{separate.proxies(test.declarations)}\n" for test in tests]
    return _program("checks", texts, "fn()", "run_checks")


def shared_files(tests: Sequence[HiddenTests], together: bool) -> dict[str, bytes]:
    """
    Return the files of a checker that is linked with its candidates: its root, then a file for each of the tests.

    The candidates are compiled in the same directory. They cannot include the files, because their names are random.
    """
    texts = []
    for index, test in enumerate(tests):
        declarations = test.declarations
        types = ", ".join(name for kind, name in declarations.items if kind != "fn")
        wrappers = "\n".join(function.wrapper() for function in declarations.functions)
        texts.append(
            f"{_checks(test)}use {_path(index, together)} as nanochat_candidate; use nanochat_candidate::{{{types}}}; "
            f"{declarations.imports}\n{wrappers}\n"
        )
    return _program("checks", texts, "fn()", "run_checks")


def can_be_stubbed(tests: HiddenTests) -> bool:
    """Whether only functions are demanded, all of which have a stub."""
    declarations = tests.declarations
    functions = all(kind == "fn" for kind, _ in declarations.items)
    return functions and all(function.stub() for function in declarations.functions)


def stubbed_files(tests: Sequence[HiddenTests]) -> dict[str, bytes]:
    """Return the files of a checker with stubs in place of candidates: its root, then a file for each of the tests."""
    texts = []
    for test in tests:
        stubs = "\n".join(str(function.stub()) for function in test.declarations.functions)
        texts.append(f"{_checks(test)}{test.declarations.imports}\n{stubs}\n")
    return _program("checks", texts, "fn()", "run_checks")


def _path(index: int, together: bool) -> str:
    return f"::{CANDIDATES}::{MODULE}{index}" if together else f"::{CANDIDATES}"


def _checks(tests: HiddenTests) -> str:
    """Return a function with the checker's statements, first in the file so that their line numbers are kept."""
    return f"pub fn nanochat_checks() {{ {tests.checker}\n}}\n"


def _program(name: str, texts: Sequence[str], kind: str, main: str, modules: Sequence[str] = ()) -> dict[str, bytes]:
    """
    Return the files of a crate whose main function calls the harness with the function `nanochat_<name>` of each text.

    Args:
        name: Prefix of the modules and part of the names of the functions.
        texts: Sources of the modules.
        kind: Type of the functions.
        main: Function of the harness.
        modules: Other modules, in files of the same name.
    """
    secret = secrets.token_hex(16)
    names = [f"{name}_{index}_{secret}.rs" for index in range(len(texts))]
    paths = [(f"{name}_{index}", file) for index, file in enumerate(names)]
    paths += [(module, f"{module}.rs") for module in modules]
    declared = "".join(f'#[path = "{file}"] mod {module};\n' for module, file in paths)
    functions = ", ".join(f"{name}_{index}::nanochat_{name}" for index in range(len(texts)))
    macros = "" if modules else "#[macro_use] "
    root = (
        f"{macros}extern crate nanochat_harness;\n{declared}const ALL: [{kind}; {len(texts)}] = [{functions}];\n"
        f"fn main() {{ nanochat_harness::{main}(&ALL) }}\n"
    )
    files = {f"{name}_{secret}.rs": root.encode()}
    return files | {file: text.encode() for file, text in zip(names, texts, strict=True)}


def candidate_file(index: int, together: bool) -> str:
    """Return the name of the file with the source of a candidate."""
    return f"{MODULE}{index}.rs" if together else ROOT
