"""
Judges: what gives a verdict on code with tests of any kind. Rewards ask a judge and need not know which verifier, or
which machine, answers.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.crates.holes.hole_verifier import HoleVerifier
from evaluation.rust.judge.batching import Rules, Tests
from evaluation.rust.judge.checkers import HARNESS_VERSION
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.tests_text import AnyTests
from evaluation.rust.verdict import Verdict
from evaluation.rust.verifier import VERDICT_FORMAT, RustVerifier

JUDGE_VERSION = f"{VERDICT_FORMAT}.{HARNESS_VERSION[:12]}"
SHORTEST_DEADLINE = 0.001


class JudgeUnavailable(RuntimeError):
    """No judge gives verdicts that can be used; the message says why."""


@dataclass(frozen=True)
class JudgeSettings:
    """
    Properties of a judge that decide on its verdicts.

    Attributes:
        edition: Rust edition of the code.
        timeout, run_timeout: Seconds of processor time of the compiler, and of a run of the tests.
        compiler_memory_gib, run_memory_gib: GiB of address space of both.
        run_threads: Number of processes and threads of a run.
        rustc: Version of the compiler; None if any will do.
        judge_version: Version of the rules and of the test harness; None if any will do.
    """

    edition: str
    timeout: float
    run_timeout: float
    compiler_memory_gib: float
    run_memory_gib: float
    run_threads: int
    rustc: str | None = None
    judge_version: str | None = JUDGE_VERSION

    @classmethod
    def of(cls, verifier: RustVerifier) -> Self:
        """Return the settings of a verifier."""
        return cls(
            verifier.edition,
            verifier.timeout,
            verifier.run_timeout,
            verifier.compiler_memory_gib,
            verifier.run_memory_gib,
            verifier.run_threads,
            verifier.resources.toolchain.version,
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the settings in a dictionary, which may have other keys. Raises `KeyError`."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def differences(self, found: "JudgeSettings") -> list[str]:
        """Return, for each setting that is required here and different in `found`, both values in words."""
        pairs = [(name, value, vars(found)[name]) for name, value in vars(self).items() if value is not None]
        return [f"{name} {other} instead of {value}" for name, value, other in pairs if other != value]


class Judge(Protocol):
    """Gives verdicts on code. Its functions may be called from several threads."""

    def judge(
        self,
        codes: Sequence[str],
        tests: Sequence[AnyTests],
        rules: Rules = "reward",
        deadline: float | None = None,
    ) -> list[Verdict]:
        """
        Return a verdict for each code snippet, in the order given.

        Args:
            codes: Source texts. With hole tests, the body of the function with its braces.
            tests: The tests of each; None to compile it only.
            rules: `"reward"` refuses what honest solutions do not need and reward hacks use.
            deadline: Limit for all together, in seconds. Those without a verdict by then are `unavailable`.

        Raises:
            ValueError: Tests are faulty, or do not belong to these rules.
        """
        ...

    def check_tests(self, tests: Sequence[AnyTests], progress: bool = False) -> None:
        """
        Check tests before they are used, as far as that is possible without code.

        Args:
            tests: Tests of any kind.
            progress: Show a progress bar on stderr, if the tests are checked on this machine.

        Raises:
            ValueError: A checker does not compile, or the crate of a hole cannot be built.
        """
        ...

    def close(self) -> None:
        """Free what the judge holds."""
        ...


class LocalJudge:
    """
    The verifiers of this machine: hole tests go to `HoleVerifier`, everything else to `RustVerifier`.

    Args:
        verifier: Of code snippets. `close` closes it.
        crates: Folder of crate sources, which hole tests need.
        warm_dir: Folder that keeps their compiled dependencies between runs; None for a temporary one.
    """

    def __init__(self, verifier: RustVerifier, crates: str | Path | None = None, warm_dir: str | Path | None = None):
        self.verifier = verifier
        self.crates = crates
        self.warm_dir = warm_dir
        # `HoleVerifier` prepares a crate at its first use, which two threads must not do at once.
        self._holes = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("hole_verifier", "_holes")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _holes=threading.Lock())

    @classmethod
    def start(
        cls,
        settings: JudgeSettings,
        workers: int | None = None,
        cache_dir: str | Path | None = None,
        crates: str | Path | None = None,
        warm_dir: str | Path | None = None,
    ) -> Self:
        """Start a judge with these limits, whatever the version of its compiler. Raises what `RustVerifier` does."""
        verifier = RustVerifier(
            settings.edition,
            workers,
            cache_dir,
            timeout=settings.timeout,
            run_timeout=settings.run_timeout,
            compiler_memory_gib=settings.compiler_memory_gib,
            run_memory_gib=settings.run_memory_gib,
            run_threads=settings.run_threads,
        )
        return cls(verifier, crates, warm_dir)

    @cached_property
    def hole_verifier(self) -> HoleVerifier:
        """The verifier of hole tests, which is started on first use."""
        if self.crates is None:
            raise ValueError("crates must be a folder of crate sources, because the rows have hole tests, got None")
        return HoleVerifier(
            self.crates,
            warm_dir=self.warm_dir,
            workers=self.verifier.workers,
            cache_dir=self.verifier.cache_dir,
            run_memory_gib=self.verifier.run_memory_gib,
        )

    def judge(
        self,
        codes: Sequence[str],
        tests: Sequence[AnyTests],
        rules: Rules = "reward",
        deadline: float | None = None,
    ) -> list[Verdict]:
        started = time.monotonic()
        if len(tests) != len(codes):
            raise ValueError(f"tests must be one for each code, got {len(tests)} for {len(codes)} codes")
        snippets: dict[int, Tests] = {}
        holes: dict[int, HoleTests] = {}
        for index, test in enumerate(tests):
            if isinstance(test, HoleTests):
                holes[index] = test
            else:
                snippets[index] = test
        verdicts: dict[int, Verdict] = {}
        if snippets:
            parts = [codes[index] for index in snippets]
            found = self.verifier.verify(parts, list(snippets.values()), rules=rules, deadline=deadline)
            verdicts |= zip(snippets, found, strict=True)
        if holes:
            bodies = [codes[index] for index in holes]
            left = None if deadline is None else max(SHORTEST_DEADLINE, deadline - (time.monotonic() - started))
            with self._holes:
                found = self.hole_verifier.verify(bodies, list(holes.values()), rules=rules, deadline=left)
            verdicts |= zip(holes, found, strict=True)
        return [verdicts[index] for index in range(len(codes))]

    def check_tests(self, tests: Sequence[AnyTests], progress: bool = False) -> None:
        self.verifier.check_tests([test for test in tests if isinstance(test, HiddenTests)], progress)
        holes = [test for test in tests if isinstance(test, HoleTests)]
        if holes:
            with self._holes:
                self.hole_verifier.check_tests(holes, progress)

    def close(self) -> None:
        """Stop the sandboxes' servers; the next call starts them again."""
        self.verifier.close()
        if "hole_verifier" in vars(self):
            self.hole_verifier.close()
            del self.hole_verifier
