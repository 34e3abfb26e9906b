"""
Programs that run hidden tests, built once for each set of tests.

A checker is compiled with functions of the demanded types in place of the candidate's. If it does not compile, no
candidate could pass: the error is the checker's and is raised.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from evaluation.rust.judge import harness
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.rustc.compiler import BUILD_FLAGS, FLAGS, Compilation, Compiler
from evaluation.rust.verdict import Diagnostic

SOURCES = {path.name: path.read_bytes() for path in sorted(Path(__file__).with_name("harness_crate").glob("*.rs"))}
HARNESS = "nanochat_harness"
HARNESS_FILE = f"lib{HARNESS}.rlib"
HARNESS_VERSION = sha256(b"".join(SOURCES.values())).hexdigest()
MOST_KEPT = 512  # maximum number of hidden tests with a built program
EDITION = "2021"  # of checkers, whatever the edition of the candidate
WITH_HARNESS = ("--extern", f"{HARNESS}={HARNESS_FILE}")

# By the identity of the compiler, for all verifiers of this process.
_HARNESSES: dict[str, bytes] = {}
_HARNESSES_LOCK = threading.Lock()


@dataclass(frozen=True)
class Checker:
    """A program that runs hidden tests in a process without candidates."""

    program: bytes
    number: int
    """Index of the tests in the program."""


class CheckersUnavailable(RuntimeError):
    """The compiler or the sandbox failed, which says nothing about the tests."""


class Checkers:
    """Build and keep the programs of hidden tests. Thread-safe."""

    def __init__(self, compiler: Compiler):
        self.compiler = compiler
        self._lock = threading.Lock()
        self._built: OrderedDict[HiddenTests, Future[Checker]] = OrderedDict()
        self._sound: set[HiddenTests] = set()

    def harness(self) -> bytes:
        """Return the crate that every program with hidden tests links to. Raises `CheckersUnavailable`."""
        name = self.compiler.toolchain.identity
        with _HARNESSES_LOCK:
            if name not in _HARNESSES:
                kind = ["--edition", EDITION, "--crate-type", "lib", "--crate-name", HARNESS]
                call = [*kind, *BUILD_FLAGS, "harness.rs"]
                compilation, built = self.compiler.call(SOURCES, [call], {}, result=HARNESS_FILE)
                if not compilation.accepted:
                    raise CheckersUnavailable(f"the harness of hidden tests: {_told(compilation)}")
                _HARNESSES[name] = built
            return _HARNESSES[name]

    def programs(self, tests: Sequence[HiddenTests]) -> dict[HiddenTests, Checker]:
        """
        Return the checkers of tests that run in a process without the candidate. Each is built once.

        Raises:
            ValueError: A checker does not compile with functions of the signature's types.
            CheckersUnavailable: The compiler or the sandbox failed.
        """
        distinct = list(dict.fromkeys(tests))
        with self._lock:
            missing = [test for test in distinct if test not in self._built]
            self._built |= {test: Future() for test in missing}
            found = {test: self._built[test] for test in distinct}
            for test in distinct:
                self._built.move_to_end(test)
            while len(self._built) > MOST_KEPT:
                self._built.popitem(last=False)
        if missing:
            self._build(missing, found)
        try:
            return {test: future.result() for test, future in found.items()}
        except CancelledError:
            # Another call built them together with its own tests and failed, maybe because of those.
            return self.programs(distinct)

    def _build(self, tests: Sequence[HiddenTests], futures: dict[HiddenTests, Future[Checker]]) -> None:
        try:
            files = harness.checker_files(tests)
            call = link(harness.CHECKER, next(iter(files)), EDITION)
            files |= {HARNESS_FILE: self.harness()}
            compilation, program = self.compiler.call(files, [call], {}, result=harness.CHECKER)
            if not compilation.accepted:
                self.check(tests)
                raise CheckersUnavailable(f"the checkers of hidden tests: {_told(compilation)}")
            for number, test in enumerate(tests):
                futures[test].set_result(Checker(program, number))
        finally:
            with self._lock:
                for test in tests:
                    # Only futures without a result can be canceled.
                    if futures[test].cancel() and self._built.get(test) is futures[test]:
                        del self._built[test]

    def check(self, tests: Sequence[HiddenTests]) -> None:
        """
        Compile checkers with stubs of the demanded functions. Checkers with types of the candidate are skipped.

        Raises:
            ValueError: A checker does not compile.
            CheckersUnavailable: The compiler or the sandbox failed.
        """
        tests = [test for test in dict.fromkeys(tests) if test not in self._sound and harness.can_be_stubbed(test)]
        if not tests:
            return
        files = harness.stubbed_files(tests)
        root, *names = files
        call = ["--edition", EDITION, "--crate-name", harness.CHECKER, *WITH_HARNESS, *FLAGS, root]
        sources = {name: index for index, name in enumerate(names)}
        compilation, _ = self.compiler.call(files | {HARNESS_FILE: self.harness()}, [call], sources)
        if compilation.accepted:
            with self._lock:
                self._sound |= set(tests)
            return
        if compilation.failure == "unavailable":
            raise CheckersUnavailable(compilation.reason)
        if len(tests) == 1:
            raise ValueError(
                f"checker must compile with functions of the signature's types, got {tests[0].checker!r} for "
                f"{tests[0].signature!r}: {_told(compilation)}"
            )
        # In a shared crate, the error of a checker may be caused by another one.
        wrong = [[tests[number]] for number in sorted(compilation.errors)]
        rest = [test for test in tests if [test] not in wrong]
        middle = len(rest) // 2
        for part in (*wrong, *([rest] if wrong else [rest[:middle], rest[middle:]])):
            self.check(part)


def link(name: str, root: str, edition: str, *options: str) -> list[str]:
    """Return the compiler's arguments for a program that is linked with the harness."""
    return ["--edition", edition, "--crate-name", name, *WITH_HARNESS, *options, *BUILD_FLAGS, root]


def _told(compilation: Compilation) -> str:
    errors: list[Diagnostic] = compilation.errors.get(0) or compilation.unplaced
    if not errors:
        return compilation.reason
    return re.sub(r"checks_\d+_\w+\.rs", "checker.rs", errors[0].rendered or errors[0].message).strip()
