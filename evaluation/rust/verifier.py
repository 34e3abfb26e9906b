"""Verifies Rust code with rustc itself: batched, sandboxed, cached.

    code -> cached? -> too large? -> syntax tree -> alone, or a batch of modules -> rustc -> Verdict

A batch that fails is compiled again without the codes its errors point at, until what is left compiles: those codes
certainly do. A batch that kills the compiler, or fails without pointing at anyone, is cut in pieces. Codes that seem
not to parse have batches of their own, which only reject.
"""

import asyncio
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Literal

from evaluation.progress import show_progress
from evaluation.rust.cache import VerdictCache, cache_key
from evaluation.rust.judge.appended import AppendedTests, without_attributes_of_the_program
from evaluation.rust.judge.candidate import Candidate, Tools, Verdicts
from evaluation.rust.judge.checkers import HARNESS_VERSION, Checkers
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.jobs import BuildJob, CompileJob, Job
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.rustc.compiler import FLAGS, Compiler
from evaluation.rust.rustc.routing import as_module, must_compile_alone, refusal
from evaluation.rust.rustc.toolchain import check_edition, find_toolchain
from evaluation.rust.sandbox.runner import Command, Limits, Sandbox, require_consent
from evaluation.rust.syntax.analysis import analyse
from evaluation.rust.verdict import Diagnostic, Verdict

Tests = str | HiddenTests | None
Missing = tuple[bytes, bytes, Tests]
BATCH_CODES = 64
MIN_MEMORY_GIB = 0.25
MIN_THREADS = 4  # the program's own, the harness's, and some of the code's
TRUSTED_BATCH_CODES = 256  # few of them fail
BATCH_BYTES = 200_000
RUNS_OF_SOLUTIONS = 3  # of known solutions: one whose tests pass only sometimes must not become a reference
VERDICT_FORMAT = 5  # goes into the cache's keys: raised whenever equal input may get another verdict


class _Resources:
    """What belongs to one process: threads, the sandbox's server, the cache's file."""

    def __init__(self, verifier: "RustVerifier"):
        self.process = os.getpid()
        self.toolchain = find_toolchain()
        probe = Command([self.toolchain.rustc, "-V"], self.toolchain.environment)
        self.sandbox = Sandbox([self.toolchain.sysroot], probe, verifier.sandbox, own_programs=verifier.own_programs)
        self.compiler = Compiler(
            self.toolchain, self.sandbox, verifier.edition, verifier.timeout, verifier.compiler_memory_gib
        )
        self.cache = VerdictCache(verifier.cache_dir)
        self.workers = verifier.workers or len(os.sched_getaffinity(0))
        self.pool = ThreadPoolExecutor(self.workers, thread_name_prefix="rust-verifier")
        self.checkers = Checkers(self.compiler)

    def close(self):
        self.sandbox.close()
        self.pool.shutdown(cancel_futures=True)
        self.cache.close()


class RustVerifier:
    """Decides whether Rust code compiles, and why not.

    Args:
        edition: 2015, 2018, 2021 or 2024. Codes of edition 2015 are compiled one by one.
        workers: compilers at the same time; None for one per processor this process may use.
        cache_dir: a directory that keeps verdicts between runs and is shared by processes; None for memory only.
        sandbox: the lowest protection to accept: `"limits"`, `"files"` or `"isolated"` (see `sandbox.py`); `"auto"`
            accepts any. The best this machine gives is taken, and `Verdict.sandbox_level` says which it was.
        timeout: seconds of processor time the compiler gets.
        run_timeout: seconds of processor time a code gets to run its tests; on the clock three times that.
        compiler_memory_gib: address space of the compiler, in GiB.
        run_memory_gib: address space of a program with its tests, in GiB.
        run_threads: processes and threads of a run together, its own main thread and the harness's among them.
        own_programs: codes and tests are text of this package, such as synthetic samples: running them, in the same
            sandbox, needs no consent. Never for what a model wrote or somebody else published.

    May be copied to other processes (`datasets.map(num_proc=...)`): each gets a sandbox and a cache connection of its
    own.

    Raises:
        ValueError: for a setting outside its rule.
        ToolchainUnavailable, SandboxUnavailable: when this machine has no compiler, or not the protection asked for.
    """

    def __init__(
        self,
        edition: str = "2021",
        workers: int | None = None,
        cache_dir: str | Path | None = None,
        sandbox: str | int = "auto",
        timeout: float = 10.0,
        run_timeout: float = 3.0,
        compiler_memory_gib: float = 4.0,
        run_memory_gib: float = 2.0,
        run_threads: int = 64,
        own_programs: bool = False,
    ):
        if workers is not None:
            _check_count("workers", workers, 1)
        for name, seconds in (("timeout", timeout), ("run_timeout", run_timeout)):
            _check_seconds(name, seconds)
        for name, size in (("compiler_memory_gib", compiler_memory_gib), ("run_memory_gib", run_memory_gib)):
            if not _is_number(size) or not MIN_MEMORY_GIB <= size < math.inf:
                raise ValueError(f"{name} must be at least {MIN_MEMORY_GIB} GiB, got {size!r}")
        _check_count("run_threads", run_threads, MIN_THREADS)
        self.edition = check_edition(edition)
        self.workers = workers
        self.cache_dir = cache_dir
        self.sandbox = sandbox
        self.timeout = timeout
        self.run_timeout = run_timeout
        self.compiler_memory_gib = compiler_memory_gib
        self.run_memory_gib = run_memory_gib
        self.run_threads = run_threads
        self.own_programs = own_programs
        self._resources: _Resources | None = _Resources(self)
        self._parents: _Resources | None = None

    @property
    def resources(self) -> _Resources:
        """This process's compiler, sandbox and cache."""
        if self._resources is None or self._resources.process != os.getpid():
            # After a fork what is here belongs to the parent: kept, because forgetting it would close it.
            self._parents, self._resources = self._resources, None
            self._resources = _Resources(self)
        return self._resources

    def __getstate__(self):
        return {**self.__dict__, "_resources": None, "_parents": None}

    def __enter__(self) -> "RustVerifier":
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the sandbox's server and closes the cache; the verifier may be used again and then starts them anew."""
        if self._resources is not None and self._resources.process == os.getpid():
            self._resources.close()
            self._resources = None

    def verify(
        self,
        codes: Sequence[str | bytes],
        tests: Sequence[Tests] | Tests = None,
        *,
        crate_type: Literal["auto", "bin", "lib"] = "auto",
        exact: bool = False,
        rules: Literal["data", "reward"] = "data",
        trusted: bool = False,
        progress: bool = False,
        deadline: float | None = None,
        runs: int = 1,
    ) -> list[Verdict]:
        """A verdict for each code, in their order; whatever the code is, it gets one.

        Args:
            codes: source texts. What is not UTF-8 is `invalid_syntax`.
            tests: for each code, or one for all: None, `HiddenTests`, or a text that is appended to the code and holds
                functions with `#[test]` or a `fn main`. Running them needs `HF_ALLOW_CODE_EVAL=1`; hidden tests
                without a case run nothing.
            crate_type: `"auto"` compiles as a program what has a `fn main`, everything else as a library. Codes with
                tests are what their tests ask for.
            exact: compile each code that fails in a batch once more alone. Whether a code is valid does not change,
                but its list of errors may: in a batch, errors of a later phase can be missing.
            rules: `"reward"` refuses what an honest solution does not need and a dishonest one does (`refusals.py`);
                `"data"` refuses nothing.
            trusted: the codes are known solutions: appended tests of many run in one process.
            progress: show on stderr how far it is.
            deadline: seconds for all codes together; what has no verdict by then is `unavailable`. None for no limit
                beyond that of each code.
            runs: how often a code that passes its tests is run, each time in a new process; what does not always pass
                is not `valid`, and its first diagnostic begins with `flaky`.

        Raises:
            ValueError: for an argument outside its rule, before anything is compiled; also for a checker that does not
                compile, which `check_tests` finds beforehand.
            CodeExecutionNotAllowed: for tests without `HF_ALLOW_CODE_EVAL=1`, unless they are `own_programs`.
        """
        if crate_type not in ("auto", "bin", "lib"):
            raise ValueError(f"crate_type must be auto, bin or lib, got {crate_type!r}")
        if rules not in ("data", "reward"):
            raise ValueError(f"rules must be data or reward, got {rules!r}")
        _check_count("runs", runs, 1)
        if deadline is not None:
            _check_seconds("deadline", deadline)
        codes = _source_texts(codes)
        tests = _tests_of_each(tests, len(codes), rules)
        if not self.own_programs and any(_runs(test) for test in tests):
            require_consent()
        resources = self.resources
        question = {
            "format": VERDICT_FORMAT,
            "edition": self.edition,
            "crate_type": crate_type,
            "exact": exact,
            "rules": rules,
            "flags": FLAGS,
            "timeout": self.timeout,
            "run_timeout": self.run_timeout,
            "compiler_memory_gib": self.compiler_memory_gib,
            "run_memory_gib": self.run_memory_gib,
            "run_threads": self.run_threads,
            "runs": runs,
            "rustc": resources.toolchain.identity,
            "sandbox": resources.sandbox.level,
            "checker": HARNESS_VERSION,
        }
        encoded = [code.encode("utf-8", "surrogatepass") if isinstance(code, str) else code for code in codes]
        keys = [cache_key(code, question, _text_of(test)) for code, test in zip(encoded, tests, strict=True)]
        distinct = dict(zip(keys, zip(encoded, tests, strict=True), strict=True))
        verdicts = resources.cache.get(distinct)
        with show_progress("Verifying", len(distinct), "codes", shown=progress) as advance:
            advance(len(verdicts))
            missing = [(key, *question) for key, question in distinct.items() if key not in verdicts]
            tools = Tools(
                resources.compiler,
                resources.checkers,
                self._run_limits,
                exact,
                confirm=rules == "reward" or trusted,
                trusted=trusted,
                runs=runs,
            )
            for reached in self._reach(missing, crate_type, tools, rules, deadline):
                resources.cache.put(reached)
                verdicts |= reached
                advance(len(reached))
            late = tools.verdict("unavailable", f"there was no verdict within the deadline of {deadline} seconds")
            verdicts |= {key: late for key, *_ in missing if key not in verdicts}
        seen: set[bytes] = set()
        return [_once(verdicts[key], key, seen) for key in keys]

    def check_tests(self, tests: Sequence[HiddenTests], progress: bool = False) -> None:
        """Looks whether checkers compile where the demanded functions are there; nothing is run.

        Those that use types which the candidate defines cannot be looked at without one.

        Raises:
            ValueError: for the first that does not, with the compiler's message.
            CheckersUnavailable: when the compiler or the sandbox fails.
        """
        distinct = list(dict.fromkeys(_elements("tests", tests, (HiddenTests,), "HiddenTests")))
        resources = self.resources
        parts = [distinct[start : start + BATCH_CODES] for start in range(0, len(distinct), BATCH_CODES)]
        with show_progress("Looking at tests", len(distinct), "checkers", shown=progress) as advance:
            jobs = [(resources.pool.submit(resources.checkers.check, part), len(part)) for part in parts]
            try:
                for job, count in jobs:
                    job.result()
                    advance(count)
            finally:
                for job, _ in jobs:
                    job.cancel()

    async def averify(self, codes: Sequence[str | bytes], tests: Sequence[Tests] | Tests = None, **options):
        """`verify` without blocking the event loop."""
        return await asyncio.to_thread(self.verify, codes, tests, **options)

    def _reach(
        self, missing: list[Missing], crate_type: str, tools: Tools, rules: str, deadline: float | None
    ) -> Iterator[Verdicts]:
        """Verdicts as they are reached: jobs go to the pool, and what they leave undecided goes there again."""
        end = None if deadline is None else time.monotonic() + deadline
        pool, workers, running = self.resources.pool, self.resources.workers, set()
        try:
            for item in self._jobs(missing, crate_type, tools, rules):
                if isinstance(item, dict):
                    yield item
                else:
                    running.add(pool.submit(item.run, tools))
            while running:
                left = None if end is None else max(0.0, end - time.monotonic())
                done, running = wait(running, left, return_when=FIRST_COMPLETED)
                if not done:
                    return
                for future in done:
                    verdicts, jobs = future.result()
                    if len(running) + len(jobs) <= 2 * workers:
                        parts = [job.parts(workers) if isinstance(job, CompileJob) else [job] for job in jobs]
                        jobs = [part for several in parts for part in several]
                    running |= {pool.submit(job.run, tools) for job in jobs}
                    yield verdicts
        finally:
            for future in running:
                future.cancel()

    def _jobs(self, missing: list[Missing], crate_type: str, tools: Tools, rules: str) -> Iterator[Job | Verdicts]:
        """Looks at each code: a verdict at once, a job of its own, or a place in a batch."""
        # As many batches for each worker, as equal in size as possible.
        workers = self.resources.workers
        rounds = math.ceil(len(missing) / ((TRUSTED_BATCH_CODES if tools.trusted else BATCH_CODES) * workers))
        batch_codes = math.ceil(len(missing) / max(1, rounds * workers))
        batches: dict[tuple[bool, bool], list[Candidate]] = {}
        # Neighbours in the list are of a kind: each batch gets some of every kind, so that none takes much longer.
        count = max(1, rounds * workers)
        for key, code, tests in (item for start in range(count) for item in missing[start::count]):
            looked_at = self._look_at(key, code, tests, crate_type, tools, rules)
            if isinstance(looked_at, Verdict):
                yield {key: looked_at}
                continue
            candidate, suspected = looked_at
            # What is trusted is built at once, without being compiled first.
            believed = tools.trusted and candidate.crate_type == "test" and not suspected
            if not suspected and not candidate.together:
                yield BuildJob((candidate,), False, compiled=False) if believed else CompileJob((candidate,))
                continue
            batch = batches.setdefault((suspected, candidate.crate_type == "test"), [])
            batch.append(candidate)
            if len(batch) >= batch_codes or sum(len(candidate.code) for candidate in batch) >= BATCH_BYTES:
                yield _first_job(batch, suspected, believed)
                batch.clear()
        for (suspected, tested), batch in batches.items():
            if batch:
                yield _first_job(batch, suspected, tools.trusted and tested and not suspected)

    def _look_at(
        self, key: bytes, code: bytes, tests: Tests, crate_type: str, tools: Tools, rules: str
    ) -> Verdict | tuple[Candidate, bool]:
        """What can be said without the compiler: a verdict, or the candidate and whether it seems not to parse."""
        try:
            code.decode()
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: {error.reason} at byte {error.start}"
            return tools.verdict("invalid_syntax", Diagnostic(None, "syntax", reason))
        reason = refusal(code)
        if reason:
            return tools.verdict("refused", reason)
        appended = AppendedTests.read(tests) if isinstance(tests, str) else None
        own, notes = (code, ()) if tests is None else without_attributes_of_the_program(code)
        text = own if appended is None else appended.behind(own)
        report = analyse(text)
        refused: tuple[Diagnostic, ...] = ()
        if rules == "reward":
            refused = tuple(reason.diagnostic() for reason in refusals(code, tests))
            # What does not parse is told so, and not what is in it besides.
            if refused and not report.has_error:
                return replace(tools.verdict("refused", *refused), metadata=report.metadata)
        if appended is not None:
            crate_type = "bin" if appended.has_main else "test"
        elif tests is not None:
            crate_type = "lib"
        elif crate_type == "auto":
            crate_type = "lib" if report.main == "none" else "bin"
        alone = must_compile_alone(text, report, self.edition, crate_type, tools.confirm)
        module = as_module(text, report, crate_type)
        candidate = Candidate(
            key,
            text,
            module,
            crate_type,
            report.metadata,
            together=alone is None,
            refused=refused,
            tests=tests if appended is None else appended,
            notes=notes,
        )
        return candidate, report.has_error

    @property
    def _run_limits(self) -> Limits:
        # A program may wait for its own threads, and the machine may be busy: the clock is the last limit.
        return Limits(
            cpu_seconds=math.ceil(self.run_timeout),
            wall_seconds=3 * self.run_timeout + 1,
            memory_bytes=int(self.run_memory_gib * (1 << 30)),
            processes=self.run_threads,
        )


def _first_job(batch: list[Candidate], suspected: bool, believed: bool) -> Job:
    if believed:
        return BuildJob(tuple(batch), True, compiled=False)
    return CompileJob(tuple(batch), suspected)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_count(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be at least {least}, a whole number, got {value!r}")


def _check_seconds(name: str, value: float) -> None:
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number of seconds, got {value!r}")


def _elements(name: str, values: object, kinds: tuple[type, ...], told: str) -> list:
    """The elements of a list, all of these kinds. Raises `ValueError` with the place and the type of another."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a list of {told}, got a single {type(values).__name__}")
    values = list(values)
    for index, value in enumerate(values):
        if not isinstance(value, kinds):
            raise ValueError(f"{name} must be {told}, got {type(value).__name__} at index {index}")
    return values


def _source_texts(codes: object) -> list[str | bytes]:
    return _elements("codes", codes, (str, bytes), "source texts (str or bytes)")


def _tests_of_each(tests: Sequence[Tests] | Tests, count: int, rules: str) -> list[Tests]:
    """One entry for each code, all of them of a kind that the rules allow. Raises `ValueError`."""
    one = tests is None or isinstance(tests, str | HiddenTests)
    each = (
        [tests] * count
        if one
        else _elements("tests", tests, (str, HiddenTests, NoneType), "None, texts or HiddenTests")
    )
    if len(each) != count:
        raise ValueError(f"tests must be one for all codes or one for each, got {len(each)} for {count} codes")
    for test in {id(test): test for test in each}.values():
        if isinstance(test, str):
            AppendedTests.read(test)
            if rules == "reward":
                raise ValueError(
                    "tests appended to a code can be cheated by it: under reward rules tests must be HiddenTests"
                )
        elif rules == "reward" and test is not None and test.allow_unsafe:
            raise ValueError("unsafe code can forge the result of its tests: under reward rules allow_unsafe is False")
    return each


def _runs(tests: Tests) -> bool:
    """Whether a code with these tests is run, and not only compiled."""
    return tests is not None and not (isinstance(tests, HiddenTests) and tests.blank)


def _text_of(tests: Tests) -> str | None:
    """What identifies tests in the cache."""
    if isinstance(tests, HiddenTests):
        return json.dumps([tests.signature, tests.checker, tests.allow_unsafe])
    return tests


def _once(verdict: Verdict, key: bytes, seen: set[bytes]) -> Verdict:
    """Equal codes of one call were compiled once; only the first is news."""
    if key in seen and not verdict.cached:
        return replace(verdict, cached=True)
    seen.add(key)
    return verdict
