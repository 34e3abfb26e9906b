"""Tests that a candidate never sees, and the programs that put it to them.

The candidate is a crate of its own, without unsafe code. The checker is another one: it counts the cases that hold,
and reports on a channel of its own. The report is the verdict; the exit status says nothing.

Where the signature allows it (`separate.py`), checker and candidate are two processes. The checker's has functions of
the demanded types that send their arguments to the candidate's and return what comes back: a candidate that could read
and write all of its own memory would find there the arguments of the call, and could do nothing but answer. Other
tests, those on types of the candidate, generic functions and closures, are linked with the candidate.

What a candidate could try, and what stops it:

- end the process, abort it, hang, overflow the stack: then there is no report of an end;
- write the report itself: in the candidate's process there is no channel for it. Where the process is shared, standard
  output is nothing by then, the channel's number is of use to unsafe code only, which the compiler forbids, and the
  nonce is read and gone before the candidate's code runs;
- write to the counters by a fault of the compiler: in the candidate's process there are none. Where it is shared, a
  keyed code seals them, and the keys are checked outside; whoever can find the keys as well can forge it;
- read the checker or its own memory from files, start a process, ask the network: a seccomp filter lets the process
  compute and nothing else; the nonce is neither in its arguments nor in its environment;
- lie about equality, shadow `i32` or `assert_eq!`, switch code off with `cfg`: the checker's types and macros are its
  own, and the standard library's types have one equality;
- run before main: that takes an attribute that counts as unsafe code, or a linker's option.

What remains possible in principle: a fault of the kernel; where the process is shared, a fault of the compiler that
lets safe code read and write memory it does not own (known ones are refused by shape, `refused_holes.py`); tests whose
answers can be guessed or are too few; an answer of a type that the candidate defines itself, which may claim to
equal anything: check plain values. With `allow_unsafe` a candidate that shares the checker's process can do what the
checker can: use it for code that does not search for holes. Without hidden cases, when only the signature is demanded,
a body that compiles is all there is to reward, and it cannot be told from a useless one.

Tests given as text are another matter (`appended.py`): they share the candidate's crate and are for measuring.
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
    """Tests in a crate of their own.

    Args:
        signature: what the candidate must define at its top level: declarations of functions, and names of types
            (`struct Stack;`), each ended by `;`; also `use` for the names they need. Type parameters must occur in
            the types of parameters or result.
        checker: statements in Rust 2021. `check!(expression)` is a case; it holds if the expression is true, and a
            panic is a case that does not. Other statements prepare. When blank, only the signature is demanded.
            Where all demanded items are functions of plain values it runs in a process without the candidate
            (`shared_because`).
        allow_unsafe: accept unsafe code. It can forge its result.

    Raises `ValueError` when signature or checker is not of this form.
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
        """Whether there are no cases: then only the signature is demanded."""
        return not self.checker.strip()

    @cached_property
    def declarations(self) -> Declarations:
        """The signature, read."""
        return read_declarations(self.signature)

    @cached_property
    def shared_because(self) -> str | None:
        """Why the checker must share a process with the candidate; None when each has its own."""
        return separate.obstacle(self.declarations, self.checker)

    def __getstate__(self) -> dict[str, str | bool]:
        # Syntax trees cannot be copied to other processes.
        return {name: self.__dict__[name] for name in ("signature", "checker", "allow_unsafe")}

    @classmethod
    def parse(cls, text: str, allow_unsafe: bool = False) -> "HiddenTests":
        """From one text: the declarations first, then the checker's statements. Raises `ValueError`."""
        code = text.encode()
        end = 0
        for node in Parser(RUST).parse(code).root_node.named_children:
            if node.type not in (*ITEMS, "use_declaration", "line_comment", "block_comment") or has_body(node):
                break
            end = node.end_byte
        # Lines of errors are then those of the text.
        checker = "\n" * code[:end].count(b"\n") + code[end:].decode()
        return cls(code[:end].decode(), checker, allow_unsafe)


def publish(code: bytes, tests: HiddenTests) -> tuple[bytes, list[str]]:
    """The code with the items asked for made public, and those of them that it does not define at its top level."""
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
    """The root of the program that serves calls of these candidates, then a file for each.

    Either the candidates are modules of the program itself (`inside`), or there is a single one with a crate of its
    own. Nothing that they could do to the program would tell them more than the arguments of the calls.
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
    """The root of the program that runs these tests in a process without candidates, then a file for each."""
    texts = [f"{_checks(test)}{test.declarations.imports}\n{separate.proxies(test.declarations)}\n" for test in tests]
    return _program("checks", texts, "fn()", "run_checks")


def shared_files(tests: Sequence[HiddenTests], together: bool) -> dict[str, bytes]:
    """The root of a checker that is linked with its candidates, then a file for each.

    The candidates are compiled beside the files and could include them, but for their names, which nobody can know.
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
    """Whether functions alone are demanded, for each of which there is a stub."""
    declarations = tests.declarations
    functions = all(kind == "fn" for kind, _ in declarations.items)
    return functions and all(function.stub() for function in declarations.functions)


def stubbed_files(tests: Sequence[HiddenTests]) -> dict[str, bytes]:
    """The root of a checker with stubs in the place of candidates, then a file for each of the tests."""
    texts = []
    for test in tests:
        stubs = "\n".join(str(function.stub()) for function in test.declarations.functions)
        texts.append(f"{_checks(test)}{test.declarations.imports}\n{stubs}\n")
    return _program("checks", texts, "fn()", "run_checks")


def _path(index: int, together: bool) -> str:
    return f"::{CANDIDATES}::{MODULE}{index}" if together else f"::{CANDIDATES}"


def _checks(tests: HiddenTests) -> str:
    """The checker's statements stand first, so that their lines are those of its text."""
    return f"pub fn nanochat_checks() {{ {tests.checker}\n}}\n"


def _program(name: str, texts: Sequence[str], kind: str, main: str, modules: Sequence[str] = ()) -> dict[str, bytes]:
    """A crate whose main is one of the harness's, over the function `nanochat_<name>` of each text.

    The other modules are in files of their names.
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
    """The file with the text of a candidate."""
    return f"{MODULE}{index}.rs" if together else ROOT
