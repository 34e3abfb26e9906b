"""Verifies Rust code with rustc itself: batched, sandboxed, cached.

    code -> cached? -> too large? -> syntax tree -> alone, or a batch of modules -> rustc -> Verdict

A batch that fails is compiled again without the codes its errors point at, until what is left compiles: those codes
certainly do. A batch that kills the compiler, or fails without pointing at anyone, is cut in pieces. Codes that seem
not to parse have batches of their own, which only reject.
"""

import asyncio
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evaluation.rust.cache import VerdictCache, cache_key
from evaluation.rust.compiler import FLAGS, Compilation, Compiler, names_others
from evaluation.rust.routing import as_module, must_compile_alone, refusal
from evaluation.rust.sandbox import Command, Sandbox
from evaluation.rust.semantics import classify, phase
from evaluation.rust.syntax import SyntaxReport, analyse
from evaluation.rust.toolchain import check_edition, find_toolchain
from evaluation.rust.verdict import CHECKS, NOT_REACHED, CodeMetadata, Diagnostic, Status, Verdict

BATCH_CODES = 64
SMALLEST_PART = 16
BATCH_BYTES = 200_000
SECONDS_ALONE = 0.05  # about what one code costs alone, to choose between halving a batch and giving it up
VERDICT_FORMAT = 1  # goes into the cache's keys: raised whenever equal input may get another verdict


@dataclass(frozen=True)
class Candidate:
    """One distinct code on its way to a verdict."""

    key: bytes
    code: bytes
    module: bytes
    """Stands for the code in a batch."""
    crate_type: Literal["bin", "lib"]
    metadata: CodeMetadata


@dataclass(frozen=True)
class Job:
    """Codes for one call of the compiler."""

    candidates: tuple[Candidate, ...]
    suspected: bool = False
    """They seem not to parse. What the parser says of a file does not depend on other files, so that much is believed;
    but the rules for sharing a crate are read from the syntax tree, so nothing else is.
    """

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def sources(self) -> list[bytes]:
        """The texts that stand for the codes in a batch."""
        return [candidate.module for candidate in self.candidates]


class _Resources:
    """What belongs to one process: threads, the sandbox's server, the cache's file."""

    def __init__(self, verifier: "RustVerifier"):
        self.process = os.getpid()
        self.toolchain = find_toolchain()
        probe = Command([self.toolchain.rustc, "-V"], self.toolchain.environment)
        self.sandbox = Sandbox([self.toolchain.sysroot], probe, verifier.sandbox)
        self.compiler = Compiler(self.toolchain, self.sandbox, verifier.edition, verifier.timeout)
        self.cache = VerdictCache(verifier.cache_dir)
        self.workers = verifier.workers or len(os.sched_getaffinity(0))
        self.pool = ThreadPoolExecutor(self.workers, thread_name_prefix="rust-verifier")

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
    ):
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        if not timeout > 0:
            raise ValueError(f"timeout must be a positive number of seconds, got {timeout}")
        self.edition = check_edition(edition)
        self.workers = workers
        self.cache_dir = cache_dir
        self.sandbox = sandbox
        self.timeout = timeout
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
        *,
        crate_type: Literal["auto", "bin", "lib"] = "auto",
        exact: bool = False,
        progress: bool = False,
    ) -> list[Verdict]:
        """A verdict for each code, in their order; whatever the code is, it gets one.

        Args:
            codes: source texts. What is not UTF-8 is `invalid_syntax`.
            crate_type: `"auto"` compiles as a program what has a `fn main`, everything else as a library.
            exact: compile each code that fails in a batch once more alone. Whether a code is valid does not change,
                but its list of errors may: in a batch, errors of a later phase can be missing.
            progress: show a progress bar on stderr.
        """
        if crate_type not in ("auto", "bin", "lib"):
            raise ValueError(f"crate_type must be auto, bin or lib, got {crate_type!r}")
        if isinstance(codes, (str, bytes)):
            raise ValueError("codes must be a list of source texts, got a single one")
        resources = self.resources
        question = {
            "format": VERDICT_FORMAT, "edition": self.edition, "crate_type": crate_type, "exact": exact,
            "flags": FLAGS, "timeout": self.timeout, "rustc": resources.toolchain.identity,
            "sandbox": resources.sandbox.level,
        }  # fmt: skip
        encoded = [code.encode("utf-8", "surrogatepass") if isinstance(code, str) else bytes(code) for code in codes]
        keys = [cache_key(code, question) for code in encoded]
        distinct = dict(zip(keys, encoded, strict=True))
        verdicts = resources.cache.get(distinct)
        with _progress_bar(progress, len(distinct)) as advance:
            advance(len(verdicts))
            missing = [(key, code) for key, code in distinct.items() if key not in verdicts]
            for reached in self._reach(missing, crate_type, exact):
                resources.cache.put(reached)
                verdicts |= reached
                advance(len(reached))
        seen: set[bytes] = set()
        return [_once(verdicts[key], key, seen) for key in keys]

    async def averify(self, codes: Sequence[str | bytes], **options) -> list[Verdict]:
        """`verify` without blocking the event loop."""
        return await asyncio.to_thread(self.verify, codes, **options)

    def _reach(
        self, missing: list[tuple[bytes, bytes]], crate_type: str, exact: bool
    ) -> Iterator[dict[bytes, Verdict]]:
        """Verdicts as they are reached: jobs go to the pool, and what they leave undecided goes there again."""
        pool, workers, running = self.resources.pool, self.resources.workers, set()
        try:
            for item in self._jobs(missing, crate_type):
                if isinstance(item, dict):
                    yield item
                else:
                    running.add(pool.submit(self._compile, item, exact))
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    verdicts, jobs = future.result()
                    if len(running) + len(jobs) <= 2 * workers:
                        jobs = [part for job in jobs for part in _parts(job, workers)]
                    running |= {pool.submit(self._compile, job, exact) for job in jobs}
                    yield verdicts
        finally:
            for future in running:
                future.cancel()

    def _jobs(self, missing: list[tuple[bytes, bytes]], crate_type: str) -> Iterator[Job | dict[bytes, Verdict]]:
        """Looks at each code: a verdict at once, a job of its own, or a place in a batch."""
        # As many batches for each worker, as equal in size as possible.
        workers = self.resources.workers
        rounds = math.ceil(len(missing) / (BATCH_CODES * workers))
        batch_codes = math.ceil(len(missing) / max(1, rounds * workers))
        batches: dict[bool, list[Candidate]] = {False: [], True: []}
        for key, code in missing:
            looked_at = self._look_at(key, code, crate_type)
            if isinstance(looked_at, Verdict):
                yield {key: looked_at}
                continue
            candidate, report = looked_at
            suspected = report.has_error
            if not suspected and must_compile_alone(code, report, self.edition, candidate.crate_type):
                yield Job((candidate,))
                continue
            batch = batches[suspected]
            batch.append(candidate)
            if len(batch) >= batch_codes or sum(len(candidate.code) for candidate in batch) >= BATCH_BYTES:
                yield Job(tuple(batch), suspected)
                batch.clear()
        for suspected, batch in batches.items():
            if batch:
                yield Job(tuple(batch), suspected)

    def _look_at(self, key: bytes, code: bytes, crate_type: str) -> Verdict | tuple[Candidate, SyntaxReport]:
        """What can be said without the compiler."""
        try:
            code.decode()
        except UnicodeDecodeError as error:
            return self._verdict(
                "invalid_syntax", reason=f"not UTF-8: {error.reason} at byte {error.start}", syntax=True
            )
        reason = refusal(code)
        if reason:
            return self._verdict("refused", reason=reason)
        report = analyse(code)
        if crate_type == "auto":
            crate_type = "lib" if report.main == "none" else "bin"
        return Candidate(key, code, as_module(code, report, crate_type), crate_type, report.metadata), report

    def _compile(self, job: Job, exact: bool) -> tuple[dict[bytes, Verdict], list[Job]]:
        """One call of the compiler: the verdicts it decides, and jobs for what it does not."""
        compiler = self.resources.compiler
        if len(job) == 1:
            (candidate,) = job.candidates
            compilation = compiler.compile_alone(candidate.code, candidate.crate_type)
            errors = [error for errors in compilation.errors.values() for error in errors] + compilation.unplaced
            return {candidate.key: self._decide(candidate, compilation, errors, compilation.seconds)}, []

        compilation = compiler.compile_together(job.sources)
        share = compilation.seconds / len(job)
        if compilation.failure == "unavailable":
            return {candidate.key: self._decide(candidate, compilation, [], share) for candidate in job.candidates}, []
        if compilation.accepted and not job.suspected:
            return {candidate.key: self._decide(candidate, compilation, [], share) for candidate in job.candidates}, []
        if compilation.failure or not (compilation.errors or job.suspected):
            return {}, _cut(job, compilation.seconds)
        verdicts: dict[bytes, Verdict] = {}
        rest, alone = [], []
        for index, candidate in enumerate(job.candidates):
            errors = compilation.errors.get(index, [])
            if job.suspected:
                errors = [error for error in errors if phase(error) == "syntax"]
            if errors and not exact and candidate.module == candidate.code and not names_others(errors):
                verdicts[candidate.key] = self._decide(candidate, compilation, errors, share)
            elif errors or job.suspected:
                alone.append(Job((candidate,)))
            else:
                rest.append(candidate)
        return verdicts, alone + ([Job(tuple(rest))] if rest else [])

    def _decide(
        self, candidate: Candidate, compilation: Compilation, errors: list[Diagnostic], seconds: float
    ) -> Verdict:
        if compilation.accepted:
            verdict = self._verdict("valid")
            verdict = replace(verdict, checks=dict.fromkeys(CHECKS, "ok"))
        elif compilation.failure:
            verdict = self._verdict(compilation.failure, reason=compilation.reason)
        else:
            classification = classify(errors)
            verdict = replace(
                self._verdict(classification.status),
                checks=classification.checks, external=classification.external, diagnostics=tuple(errors),
            )  # fmt: skip
        return replace(verdict, metadata=candidate.metadata, seconds=seconds)

    def _verdict(self, status: Status, reason: str = "", syntax: bool = False) -> Verdict:
        diagnostics = (Diagnostic(None, "syntax" if syntax else "other", reason),) if reason else ()
        return Verdict(
            status, dict(NOT_REACHED), diagnostics, edition=self.edition,
            rustc=self.resources.toolchain.version, sandbox_level=self.resources.sandbox.level,
        )  # fmt: skip


def _parts(job: Job, workers: int) -> list[Job]:
    """Near the end no worker shall wait for another: a part for each, where it is worth one more call."""
    size = max(SMALLEST_PART, math.ceil(len(job) / workers))
    starts = range(0, len(job), size)
    return [replace(job, candidates=job.candidates[start : start + size]) for start in starts]


def _cut(job: Job, seconds: float) -> list[Job]:
    """Halves a batch that failed quickly, takes one apart that failed slowly: whichever finds the culprit sooner."""
    if seconds * math.log2(len(job)) < SECONDS_ALONE * len(job):
        middle = len(job) // 2
        halves = job.candidates[:middle], job.candidates[middle:]
        return [replace(job, candidates=half) for half in halves]
    return [Job((candidate,)) for candidate in job.candidates]


def _once(verdict: Verdict, key: bytes, seen: set[bytes]) -> Verdict:
    """Equal codes of one call were compiled once; only the first is news."""
    if key in seen and not verdict.cached:
        return replace(verdict, cached=True)
    seen.add(key)
    return verdict


@contextmanager
def _progress_bar(shown: bool, total: int):
    if not shown:
        yield lambda _: None
        return
    columns = TextColumn("verifying"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
