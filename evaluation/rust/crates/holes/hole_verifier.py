"""
Judge bodies of functions of real crates by the crates' own unit tests: `RustVerifier` for hole tasks.

    bodies -> cached? -> balanced? -> refused? -> batches by crate -> rustc -> one sandboxed process each -> Verdict

A batch is one compilation of the crate's unit tests with many bodies, also of different functions. A batch that fails
is compiled again without the bodies that its errors point at; one that fails without such an error is split.
"""

import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from evaluation.progress import show_progress
from evaluation.rust.arguments import check_count, check_memory, check_seconds, checked_list
from evaluation.rust.cache import VerdictCache, cache_key
from evaluation.rust.crates.holes.bodies import Body, batches
from evaluation.rust.crates.holes.dispatch import Dispatch, dispatch
from evaluation.rust.crates.holes.functions import read_crate
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.crates.holes.programs import FLAGS, Program, Programs
from evaluation.rust.crates.holes.refused import hole_refusals
from evaluation.rust.crates.holes.testable import OpenCrate, make_testable
from evaluation.rust.crates.holes.warm import NotBuilt, WarmCrates
from evaluation.rust.crates.manifest import CratePackage
from evaluation.rust.crates.vendor import VendoredCrates
from evaluation.rust.judge.appended import passed_of_libtest
from evaluation.rust.judge.batching import Rules
from evaluation.rust.judge.runs import ending, limit_hit
from evaluation.rust.rustc.compiler import ROOT, Compilation
from evaluation.rust.rustc.routing import refusal
from evaluation.rust.rustc.semantics import classify
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.sandbox.runner import Command, Completed, Limits, Sandbox, SandboxFailure, require_consent
from evaluation.rust.syntax.analysis import analyze
from evaluation.rust.syntax.tokens import is_balanced
from evaluation.rust.verdict import CHECKS, NOT_REACHED, Diagnostic, Status, Verdict

FOREIGN = "the unit tests of other people's crates, with bodies of functions that a model may have written"
VERDICT_FORMAT = 2  # part of the cache's keys: raise it whenever equal input may get another verdict
EXIT_STATUSES = (97, 98)  # of `helper.rs`: the program ended itself, or ran without a candidate


class HoleVerifier:
    """
    Decide whether bodies of functions compile in their crates and pass the crates' unit tests.

    Everything that runs, from build scripts to tests, runs in the sandbox and needs `HF_ALLOW_CODE_EVAL=1`. It is not
    usable in another process after a fork. Programs must be linked with the C library dynamically, as on most systems:
    otherwise no body passes, because `helper.rs` replaces its function `exit`.

    Args:
        crates: Folder of crate sources with their dependencies, such as `cargo vendor` writes.
        warm_dir: Folder that keeps compiled dependencies between runs; None for a temporary one.
        workers: Maximum number of compilers at the same time; None for one per processor this process may use.
        cache_dir: Directory that keeps verdicts; None keeps them in memory only.
        sandbox: Lowest protection to accept, as in `RustVerifier`.
        timeout: Limit on the compiler's processor time for one batch, in seconds.
        run_timeout: Limit on the processor time of the tests of one body, in seconds. The limit on wall time is
            `3 * run_timeout + 1`.
        compiler_memory_gib: Limit on the compiler's address space, in GiB.
        run_memory_gib: Limit on the address space of the tests, in GiB.
        run_threads: Maximum number of processes and threads of a run.

    Raises:
        ValueError: An argument is outside its range, or the folder is none of crates.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
        ToolchainUnavailable: There is no usable Rust compiler.
        SandboxUnavailable: The machine does not support the protection asked for.
    """

    def __init__(
        self,
        crates: str | Path,
        warm_dir: str | Path | None = None,
        workers: int | None = None,
        cache_dir: str | Path | None = None,
        sandbox: str | int = "auto",
        timeout: float = 60.0,
        run_timeout: float = 1.0,
        compiler_memory_gib: float = 8.0,
        run_memory_gib: float = 2.0,
        run_threads: int = 64,
    ):
        if workers is not None:
            check_count("workers", workers, 1)
        for name, seconds in (("timeout", timeout), ("run_timeout", run_timeout)):
            check_seconds(name, seconds)
        for name, size in (("compiler_memory_gib", compiler_memory_gib), ("run_memory_gib", run_memory_gib)):
            check_memory(name, size)
        check_count("run_threads", run_threads, 1)
        require_consent(FOREIGN)
        self.crates = VendoredCrates(crates)
        self.workers = workers or len(os.sched_getaffinity(0))
        self.toolchain = find_toolchain()
        self._temporary = Path(tempfile.mkdtemp(prefix="rust-holes-"))
        self._temporary.chmod(0o755)  # in the sandbox, another user reads it
        staged, programs, warm = (self._temporary / name for name in ("crates", "programs", "warm"))
        warm = warm if warm_dir is None else Path(warm_dir).absolute()
        for folder in (staged, programs, warm):
            folder.mkdir(parents=True, exist_ok=True)
        self.crates.stage(staged)
        readable = [self.toolchain.sysroot, self.crates.folder, self._temporary, warm]
        probe = Command([self.toolchain.rustc, "-V"], self.toolchain.environment)
        self.sandbox = Sandbox(readable, probe, sandbox)
        self.warm_crates = WarmCrates(self.crates, staged, warm, self.toolchain, self.sandbox)
        self.programs = Programs(self.toolchain, self.sandbox, programs, timeout, compiler_memory_gib)
        self.cache = VerdictCache(cache_dir)
        self.run_limits = Limits(
            wall_seconds=3 * run_timeout + 1,
            cpu_seconds=max(1, round(run_timeout)),
            memory_bytes=int(run_memory_gib * (1 << 30)),
            disk_bytes=64 << 20,
            processes=run_threads,
        )
        self._limits = {"timeout": timeout, "compiler_memory_gib": compiler_memory_gib, **vars(self.run_limits)}
        self._open: dict[str, OpenCrate | str] = {}

    def __enter__(self) -> "HoleVerifier":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Stop the sandbox's server, close the cache and remove temporary files."""
        self.sandbox.close()
        self.cache.close()
        shutil.rmtree(self._temporary, ignore_errors=True)

    def open(self, package: CratePackage) -> OpenCrate:
        """
        Return a crate whose dependencies are compiled, with its functions.

        Raises:
            NotBuilt: Its unit tests cannot be built.
            SandboxFailure: The sandbox failed.
        """
        if package.id not in self._open:
            try:
                warm = self.warm_crates.warm(package)
                sources = read_crate(package.folder, package.library_path)
                self._open[package.id] = make_testable(warm, sources, self.programs)
            except NotBuilt as error:
                self._open[package.id] = str(error)
        found = self._open[package.id]
        if isinstance(found, str):
            raise NotBuilt(found)
        return found

    def discard(self, package: CratePackage) -> None:
        """Delete the compiled dependencies of a crate, which `open` makes again."""
        found = self._open.pop(package.id, None)
        if isinstance(found, OpenCrate):
            shutil.rmtree(found.warm.folder, ignore_errors=True)

    def check_tests(self, tests: Sequence[HoleTests], progress: bool = False) -> None:
        """
        Compile the dependencies of all crates and check that the functions are there.

        Raises:
            ValueError: A crate is not in the folder, its unit tests cannot be built, or it has no such function.
            SandboxFailure: The sandbox failed.
        """
        names = dict.fromkeys(test.package for test in tests)
        missing = [name for name in names if name not in self.crates.packages]
        if missing:
            raise ValueError(f"the crates of hole tests must be in {self.crates.folder}, {missing[0]} is not")
        with ThreadPoolExecutor(self.workers) as pool, show_progress("Crates", len(names), shown=progress) as advance:
            for name, job in [(name, pool.submit(self.open, self.crates.packages[name])) for name in names]:
                try:
                    job.result()
                except NotBuilt as error:
                    raise ValueError(f"the crates of hole tests must build their tests, {name}: {error}") from error
                advance(1)
        for test in tests:
            if test.function not in self.open(self.crates.packages[test.package]).functions:
                raise ValueError(f"function of hole tests must be one of {test.package}, got {test.function}")

    def verify(
        self,
        bodies: Sequence[str],
        tests: Sequence[HoleTests],
        *,
        rules: Rules = "reward",
        deadline: float | None = None,
        runs: int = 1,
        progress: bool = False,
    ) -> list[Verdict]:
        """
        Return a verdict for each body, in the order given.

        Args:
            bodies: Bodies with their braces.
            tests: The tests of each.
            rules: `"reward"` refuses what honest solutions do not need; `"data"` refuses only what would change code
                outside of the function by its brackets.
            deadline: Limit for all together, in seconds. Those without a verdict by then are `unavailable`.
            runs: Number of times that the tests of a body are run. Tests that do not pass every time are not `valid`.
            progress: Show a progress bar on stderr.

        Raises:
            ValueError: An argument is outside its range, or as in `check_tests`.
            SandboxFailure: The sandbox failed before anything was judged.
        """
        started = time.monotonic()
        checked_list("bodies", bodies, (str,), "texts")
        checked_list("tests", tests, (HoleTests,), "HoleTests")
        if len(tests) != len(bodies):
            raise ValueError(f"tests must be one for each body, got {len(tests)} for {len(bodies)} bodies")
        if rules not in ("data", "reward"):
            raise ValueError(f"rules must be data or reward, got {rules!r}")
        check_count("runs", runs, 1)
        if deadline is not None:
            check_seconds("deadline", deadline)
        self.check_tests(tests)
        end = None if deadline is None else started + deadline
        keys = [self._key(body, test, rules, runs) for body, test in zip(bodies, tests, strict=True)]
        asked = dict(zip(keys, zip(bodies, tests, strict=True), strict=True))
        verdicts = self.cache.get(asked)
        waiting: dict[str, list[Body]] = defaultdict(list)
        for key, (body, test) in asked.items():
            if key not in verdicts:
                prepared = self._prepare(key, body, test, rules)
                if isinstance(prepared, Verdict):
                    verdicts[key] = prepared
                else:
                    waiting[test.package].append(prepared)
        with (
            ThreadPoolExecutor(self.workers, thread_name_prefix="hole-verifier") as pool,
            show_progress("Judging", len(asked), "bodies", done=len(verdicts), shown=progress) as advance,
        ):
            jobs = [pool.submit(self._judge, batch, runs, end) for batch in batches(waiting, self.workers)]
            for job in as_completed(jobs):
                reached = job.result()
                self.cache.put(reached)
                verdicts |= reached
                advance(len(reached))
        return [verdicts[key] for key in keys]

    def _key(self, body: str, tests: HoleTests, rules: Rules, runs: int) -> bytes:
        question = {
            "format": VERDICT_FORMAT,
            "crate": self.open(self.crates.packages[tests.package]).warm.key,
            "rules": rules,
            "runs": runs,
            "flags": FLAGS,
            "limits": self._limits,
            "sandbox": self.sandbox.level,
        }
        return cache_key(body.encode("utf-8", "surrogatepass"), question, tests.as_text())

    def _prepare(self, key: bytes, body: str, tests: HoleTests, rules: Rules) -> Body | Verdict:
        """Return the verdict if no compiler is needed, else the body."""
        try:
            code = body.encode()
        except UnicodeEncodeError as error:
            return self._verdict(tests, "invalid_syntax", Diagnostic(None, "syntax", f"not UTF-8: {error.reason}"))
        too_large = refusal(code)
        if too_large:
            return self._verdict(tests, "refused", Diagnostic(None, "refusal", too_large))
        text = body.strip()
        if not (text.startswith("{") and text.endswith("}") and is_balanced(text) and is_balanced(text[1:-1])):
            return self._verdict(
                tests, "invalid_syntax", Diagnostic(None, "syntax", "its braces do not enclose one body")
            )
        report = analyze(f"fn hole() {text}\n")
        if rules == "reward":
            crate = self.open(self.crates.packages[tests.package])
            function = crate.functions[tests.function]
            refused = hole_refusals(text, crate.sources[function.path].code)
            if refused:
                return replace(self._verdict(tests, "refused", *refused), metadata=report.metadata)
        return Body(key, text, tests, report.metadata)

    def _judge(self, batch: Sequence[Body], runs: int, end: float | None) -> dict[bytes, Verdict]:
        """Build and run bodies for functions of one crate."""
        verdicts: dict[bytes, Verdict] = {}
        parts = [list(batch)]
        try:
            while parts:
                part = parts.pop()
                if end is not None and time.monotonic() > end:
                    verdicts |= self._unavailable(part, "there was no verdict within the deadline")
                    continue
                crate = self.open(self.crates.packages[part[0].tests.package])
                changes = dispatch(
                    crate.sources,
                    crate.warm.package.library_path,
                    [(crate.functions[body.tests.function], body.text.encode()) for body in part],
                )
                compilation, program = self.programs.build(
                    crate.warm, crate.changed | dict(changes.files), changes.candidates
                )
                if program is not None:
                    try:
                        verdicts |= self._run_all(part, program, changes, runs, end)
                    finally:
                        program.remove()
                    continue
                decided, rest = self._rejected(part, compilation, changes)
                verdicts |= decided
                parts += rest
        except SandboxFailure as failure:
            left = [body for body in batch if body.key not in verdicts]
            verdicts |= self._unavailable(left, str(failure))
        return verdicts

    def _rejected(
        self, part: list[Body], compilation: Compilation, changes: Dispatch
    ) -> tuple[dict[bytes, Verdict], list[list[Body]]]:
        """Return verdicts for the bodies that the compiler's errors point at, and the parts that are left."""
        files = {index: f"crate/{path}" for path, index in changes.candidates.items()}
        verdicts = {}
        for index, errors in compilation.errors.items():
            body = part[index]
            told = tuple(replace(each, rendered=each.rendered.replace(files[index], ROOT)) for each in errors)
            kind = classify(told)
            verdict = self._verdict(body.tests, kind.status, *told)
            verdicts[body.key] = replace(verdict, checks=kind.checks, metadata=body.metadata)
        rest = [body for index, body in enumerate(part) if index not in compilation.errors]
        if verdicts:
            return verdicts, [rest] if rest else []
        if compilation.failure == "unavailable":
            return self._unavailable(part, compilation.reason), []
        if len(part) > 1:
            middle = len(part) // 2
            return {}, [part[:middle], part[middle:]]
        (body,) = part
        if compilation.failure:
            reasons = [Diagnostic(None, "other", compilation.reason)]
            verdict = self._verdict(body.tests, compilation.failure, *reasons)
        else:
            kind = classify(compilation.unplaced)
            verdict = replace(self._verdict(body.tests, kind.status, *compilation.unplaced), checks=kind.checks)
        return {body.key: replace(verdict, metadata=body.metadata)}, []

    def _run_all(
        self, part: Sequence[Body], program: Program, changes: Dispatch, runs: int, end: float | None
    ) -> dict[bytes, Verdict]:
        verdicts = {}
        for index, body in enumerate(part):
            if end is not None and time.monotonic() > end:
                verdicts |= self._unavailable([body], "there was no verdict within the deadline")
                continue
            for number in range(runs):
                completed = self.programs.run(program, body.tests.tests, changes.environment(index), self.run_limits)
                verdict = self._verdict_of_run(body, completed)
                if not verdict.ok:
                    if number:
                        reason = Diagnostic(None, "tests", f"flaky: passed {number} of {number + 1} runs")
                        verdict = replace(verdict, diagnostics=(reason, *verdict.diagnostics))
                    break
            verdicts[body.key] = verdict
        return verdicts

    def _verdict_of_run(self, body: Body, completed: Completed) -> Verdict:
        total = len(body.tests.tests)
        passed = passed_of_libtest(completed.stdout.decode("utf-8", "replace"))
        status: Status = "tests_failed"
        category = "tests"
        if completed.ended_by == "exit" and completed.status in EXIT_STATUSES:
            category, reason = "forgery", "it ended the program before the test harness did"
        elif passed is None:
            status, reason = ending(completed, self.run_limits)
        elif completed.ended_by == "exit" and completed.status == 0 and passed == total:
            status, reason = "valid", ""
        else:
            hit = limit_hit(completed.stdout + completed.stderr)
            status = "resource_limit" if hit else "tests_failed"
            reason = f"{passed} of {total} tests pass" + (f"; {hit}" if hit else "")
        reasons = [Diagnostic(None, category, reason)] if reason else []
        return replace(
            self._verdict(body.tests, status, *reasons),
            checks=dict.fromkeys(CHECKS, "ok"),
            metadata=body.metadata,
            tests_passed=min(passed or 0, total) if category == "tests" else 0,
            tests_total=total,
            seconds=completed.seconds,
        )

    def _verdict(self, tests: HoleTests, status: Status, *reasons: Diagnostic) -> Verdict:
        return Verdict(
            status,
            dict(NOT_REACHED),
            reasons,
            edition=self.crates.packages[tests.package].edition,
            rustc=self.toolchain.version,
            sandbox_level=self.sandbox.level,
        )

    def _unavailable(self, bodies: Sequence[Body], reason: str) -> dict[bytes, Verdict]:
        diagnostic = Diagnostic(None, "other", reason)
        return {body.key: self._verdict(body.tests, "unavailable", diagnostic) for body in bodies}
