"""
Verify Rust code with rustc itself: batched, sandboxed, cached.

    code -> cached? -> too large? -> syntax tree -> alone, or a batch of modules -> rustc -> Verdict

A batch that fails is compiled again without the snippets that its errors point at, until the rest compiles: those
snippets are certainly valid. A batch that crashes the compiler, or fails without an error that points at a snippet,
is split.
"""

import asyncio
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

from evaluation.progress import show_progress
from evaluation.rust.arguments import (
    check_count,
    check_memory,
    check_seconds,
    checked_list,
    encoded_codes,
    tests_of_each,
)
from evaluation.rust.cache import VerdictCache, cache_key
from evaluation.rust.judge.batching import BATCH_CODES, RequestedCrateType, Rules, Submission, Tests, first_jobs
from evaluation.rust.judge.candidate import Tools, Verdicts
from evaluation.rust.judge.checkers import HARNESS_VERSION, Checkers
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.jobs import CompileJob, Job
from evaluation.rust.judge.stdin_tests import StdinTests
from evaluation.rust.rustc.compiler import FLAGS, Compiler
from evaluation.rust.rustc.toolchain import check_edition, find_toolchain
from evaluation.rust.sandbox.runner import Command, Limits, Sandbox, require_consent
from evaluation.rust.verdict import Verdict

MIN_THREADS = 4  # the program's main thread, those of the harness, and some of the code's
RUNS_OF_SOLUTIONS = 3  # of known solutions: one whose tests pass only sometimes must not become a reference
VERDICT_FORMAT = 8  # part of the cache's keys: raise it whenever equal input may get another verdict


class _Resources:
    """Everything that belongs to one process: threads, the sandbox's server, the cache's connection."""

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
    """
    Decide whether Rust code compiles and passes its tests, and why not.

    A verifier may be copied to other processes (`datasets.map(num_proc=...)`): each gets its own sandbox and its own
    connection to the cache.

    Args:
        edition: Rust edition: 2015, 2018, 2021 or 2024. Code of edition 2015 is compiled one snippet at a time.
        workers: Maximum number of compilers at the same time; None for one per processor this process may use.
        cache_dir: Directory that keeps verdicts between runs and may be shared by processes; None keeps them in
            memory only.
        sandbox: Lowest protection to accept: `"limits"`, `"files"` or `"isolated"` (see `sandbox/runner.py`), or
            `"auto"` for any. The highest level that the machine supports is used; `Verdict.sandbox_level` names it.
        timeout: Limit on the compiler's processor time, in seconds.
        run_timeout: Limit on the processor time of a run of the tests, or of one case of stdin tests, in seconds. The
            limit on wall time is `3 * run_timeout + 1`.
        compiler_memory_gib: Limit on the compiler's address space, in GiB.
        run_memory_gib: Limit on the address space of a program with its tests, in GiB.
        run_threads: Maximum number of processes and threads of a run together, including the program's main thread
            and those of the test harness.
        own_programs: Code and tests are part of this package, such as synthetic samples. They run in the same
            sandbox without the user's consent. Never set it for code that a model wrote or somebody else published.

    Raises:
        ValueError: An argument is outside its range.
        ToolchainUnavailable: There is no usable Rust compiler.
        SandboxUnavailable: The machine does not support the protection asked for.
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
            check_count("workers", workers, 1)
        for name, seconds in (("timeout", timeout), ("run_timeout", run_timeout)):
            check_seconds(name, seconds)
        for name, size in (("compiler_memory_gib", compiler_memory_gib), ("run_memory_gib", run_memory_gib)):
            check_memory(name, size)
        check_count("run_threads", run_threads, MIN_THREADS)
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
        """Compiler, sandbox and cache of this process."""
        if self._resources is None or self._resources.process != os.getpid():
            # After a fork the resources belong to the parent. Keep a reference, because releasing them closes them.
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
        """Stop the sandbox's server and close the cache. A later call starts them again."""
        if self._resources is not None and self._resources.process == os.getpid():
            self._resources.close()
            self._resources = None

    def verify(
        self,
        codes: Sequence[str | bytes],
        tests: Sequence[Tests] | Tests = None,
        *,
        crate_type: RequestedCrateType = "auto",
        exact: bool = False,
        rules: Rules = "data",
        trusted: bool = False,
        progress: bool = False,
        deadline: float | None = None,
        runs: int = 1,
    ) -> list[Verdict]:
        """
        Return a verdict for each code snippet, in the order given. Every input gets one.

        Args:
            codes: Source texts. Bytes that are not UTF-8 are `invalid_syntax`.
            tests: None, `HiddenTests`, `StdinTests`, or Rust source that is appended to the code and has functions
                with `#[test]` or a `fn main`; one for all snippets, or a list with one for each. Running tests needs
                `HF_ALLOW_CODE_EVAL=1`; hidden tests without a case run nothing.
            crate_type: `"auto"` compiles code with a `fn main` as a binary and everything else as a library. With
                tests, the tests decide instead.
            exact: Compile each snippet that fails in a batch again by itself. This does not change whether it is
                valid, but its list of errors may grow: in a batch, errors of a later phase can be missing.
            rules: `"reward"` refuses code with constructs that honest solutions do not need and reward hacks use
                (`judge/refusals.py`); `"data"` refuses nothing.
            trusted: The snippets are known solutions: the appended tests of many run in one process.
            progress: Show a progress bar on stderr.
            deadline: Limit for all snippets together, in seconds. Those without a verdict by then are `unavailable`.
                None for no limit other than those of each snippet.
            runs: Number of times that the tests of a snippet are run, each in a new process. Tests that do not pass
                every time are not `valid`; their first diagnostic begins with `flaky`.

        Raises:
            ValueError: An argument is outside its range, before anything is compiled. Also for hidden tests that do
                not compile, which `check_tests` finds beforehand.
            CodeExecutionNotAllowed: There are tests to run without `HF_ALLOW_CODE_EVAL=1` or `own_programs`.
        """
        if crate_type not in ("auto", "bin", "lib"):
            raise ValueError(f"crate_type must be auto, bin or lib, got {crate_type!r}")
        if rules not in ("data", "reward"):
            raise ValueError(f"rules must be data or reward, got {rules!r}")
        check_count("runs", runs, 1)
        if deadline is not None:
            check_seconds("deadline", deadline)
        encoded = encoded_codes(codes)
        each_tests = tests_of_each(tests, len(encoded), rules)
        if not self.own_programs and any(_runs(test) for test in each_tests):
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
        pairs = list(zip(encoded, each_tests, strict=True))
        keys = [cache_key(code, question, _text_of(test)) for code, test in pairs]
        distinct = dict(zip(keys, pairs, strict=True))
        verdicts = resources.cache.get(distinct)
        with show_progress("Verifying", len(distinct), "snippets", shown=progress) as advance:
            advance(len(verdicts))
            missing = [Submission(key, *pair) for key, pair in distinct.items() if key not in verdicts]
            tools = Tools(
                resources.compiler,
                resources.checkers,
                self._run_limits,
                exact,
                confirm=rules == "reward" or trusted,
                trusted=trusted,
                runs=runs,
            )
            for reached in self._reach(
                first_jobs(missing, crate_type, rules, tools, resources.workers), tools, deadline
            ):
                resources.cache.put(reached)
                verdicts |= reached
                advance(len(reached))
            late = tools.verdict("unavailable", f"there was no verdict within the deadline of {deadline} seconds")
            verdicts |= {each.key: late for each in missing if each.key not in verdicts}
        seen: set[bytes] = set()
        return [_once(verdicts[key], key, seen) for key in keys]

    def check_tests(self, tests: Sequence[HiddenTests], progress: bool = False) -> None:
        """
        Compile the checkers of hidden tests against stubs of the functions they call. Nothing is run.

        Checkers that use types which the candidate defines are skipped: they do not compile without a candidate.

        Raises:
            ValueError: A checker does not compile; the message has the compiler's error.
            CheckersUnavailable: The compiler or the sandbox failed.
        """
        distinct = list(dict.fromkeys(checked_list("tests", tests, (HiddenTests,), "HiddenTests")))
        resources = self.resources
        parts = [distinct[start : start + BATCH_CODES] for start in range(0, len(distinct), BATCH_CODES)]
        with show_progress("Checking tests", len(distinct), "checkers", shown=progress) as advance:
            jobs = [(resources.pool.submit(resources.checkers.check, part), len(part)) for part in parts]
            try:
                for job, count in jobs:
                    job.result()
                    advance(count)
            finally:
                for job, _ in jobs:
                    job.cancel()

    async def averify(self, codes: Sequence[str | bytes], tests: Sequence[Tests] | Tests = None, **options):
        """Call `verify` without blocking the event loop."""
        return await asyncio.to_thread(self.verify, codes, tests, **options)

    def _reach(self, first: Iterator[Job | Verdicts], tools: Tools, deadline: float | None) -> Iterator[Verdicts]:
        """Yield verdicts as they are reached; jobs run in the pool, as do the jobs they return."""
        end = None if deadline is None else time.monotonic() + deadline
        pool, workers = self.resources.pool, self.resources.workers
        running: set[Future[tuple[Verdicts, Sequence[Job]]]] = set()
        try:
            for item in first:
                if isinstance(item, dict):
                    yield item
                else:
                    running.add(pool.submit(_run, item, tools))
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
                    running |= {pool.submit(_run, job, tools) for job in jobs}
                    yield verdicts
        finally:
            for future in running:
                future.cancel()

    @property
    def _run_limits(self) -> Limits:
        # A program may wait for its own threads, and the machine may be busy: wall time is the last limit.
        return Limits(
            cpu_seconds=math.ceil(self.run_timeout),
            wall_seconds=3 * self.run_timeout + 1,
            memory_bytes=int(self.run_memory_gib * (1 << 30)),
            processes=self.run_threads,
        )


def _run(job: Job, tools: Tools) -> tuple[Verdicts, Sequence[Job]]:
    return job.run(tools)


def _runs(tests: Tests) -> bool:
    """Whether code with these tests is run, and not only compiled."""
    return tests is not None and not (isinstance(tests, HiddenTests) and tests.blank)


def _text_of(tests: Tests) -> str | None:
    """Return the text that identifies tests in the cache."""
    if isinstance(tests, HiddenTests):
        return json.dumps([tests.signature, tests.checker, tests.allow_unsafe])
    return tests.to_text() if isinstance(tests, StdinTests) else tests


def _once(verdict: Verdict, key: bytes, seen: set[bytes]) -> Verdict:
    """Mark the verdict of a snippet that occurs more than once in a call as cached, except for the first."""
    if key in seen and not verdict.cached:
        return replace(verdict, cached=True)
    seen.add(key)
    return verdict
