"""
Verify whole crates with cargo: against a folder with their dependencies, sandboxed, cached.

    crate -> files of its own? -> features that can be satisfied -> cached? -> batch -> cargo -> CrateVerdict

Each crate is checked with as many features as possible, so that most of its files are compiled. If it fails with them,
the verdict is that with its default features.

A crate that reaches a limit ends its batch. It has its verdict then, and the crates behind it begin a new batch.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from pathlib import Path

from evaluation.progress import show_progress
from evaluation.rust.arguments import check_count, check_seconds
from evaluation.rust.cache import CacheOf, cache_key
from evaluation.rust.crates.cargo import CHECK, Cargo, CheckRequest, CrateLimits
from evaluation.rust.crates.crate_batches import Planned, build_of, plan
from evaluation.rust.crates.crate_verdict import OF_THE_MACHINE, CrateStatus, CrateVerdict, judge
from evaluation.rust.crates.manifest import CratePackage
from evaluation.rust.crates.target_conditions import host_options
from evaluation.rust.crates.vendor import VendoredCrates
from evaluation.rust.sandbox.runner import SandboxFailure

FILE_NAME = "crate_verdicts.sqlite3"
VERDICT_FORMAT = 1  # part of the cache's keys: raise it whenever equal input may get another verdict
Batch = list[Planned]


class CrateVerifier:
    """
    Decide whether the libraries of crates compile with the dependencies in a folder.

    Build scripts and proc macros of the crates run in the sandbox, so it needs the user's consent.

    Args:
        vendored: The folder with the crates and their dependencies.
        cache_dir: Directory that keeps verdicts between runs; None keeps them in memory only.
        sandbox: Lowest protection to accept, as in `RustVerifier`.
        workers: Number of calls of cargo at the same time, each with one compiler; None for one per processor.
        timeout: Deadline of one crate, with the dependencies that are not compiled yet, in seconds.

    Raises:
        ValueError: An argument is outside its range.
        CodeExecutionNotAllowed: `HF_ALLOW_CODE_EVAL` is not `1`.
        ToolchainUnavailable: There is no usable rustc or cargo.
        SandboxUnavailable: The machine does not support the protection asked for.
    """

    def __init__(
        self,
        vendored: VendoredCrates,
        cache_dir: str | Path | None = None,
        sandbox: str | int = "auto",
        workers: int | None = None,
        timeout: float = 300.0,
    ):
        if workers is not None:
            check_count("workers", workers, 1)
        check_seconds("timeout", timeout)
        self.vendored = vendored
        self.limits = CrateLimits(wall_seconds=timeout)
        self.workers = workers or len(os.sched_getaffinity(0))
        self.cargo = Cargo(vendored, sandbox, self.limits)
        try:
            self.cache = CacheOf(cache_dir, CrateVerdict, FILE_NAME)
        except BaseException:
            self.cargo.close()
            raise
        self._options = host_options(self.cargo.toolchain)
        self._deny = frozenset(name for name, level in self.cargo.lints.items() if level == "deny")

    def __enter__(self) -> "CrateVerifier":
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Stop the sandbox and close the cache."""
        self.cargo.close()
        self.cache.close()

    def verify(self, packages: Iterable[CratePackage], progress: bool = False) -> list[CrateVerdict]:
        """
        Return a verdict for each crate, in the order given.

        Args:
            packages: Crates of the folder.
            progress: Show a progress bar on stderr.

        Raises:
            ValueError: A crate is not in the folder.
        """
        packages = list(packages)
        for package in packages:
            if self.vendored.packages.get(package.id) != package:
                raise ValueError(f"packages must be crates of {self.vendored.folder}, got {package.id}")
        distinct = {package.id: package for package in packages}
        wide = [CheckRequest(package, self.vendored.widest_features(package)) for package in distinct.values()]
        with show_progress("Checking crates", len(distinct), "crates", shown=progress) as advance:
            verdicts = {}
            again: list[CheckRequest] = []
            for request, verdict in self._verify(wide):
                default = replace(request, features=self.vendored.choose_features(request.package))
                if verdict.ok or verdict.status in ("refused", "timeout") or default == request:
                    verdicts[verdict.crate] = verdict
                    advance(1)
                else:
                    again.append(default)
            for _, verdict in self._verify(sorted(again, key=lambda each: each.package.id)):
                verdicts[verdict.crate] = verdict
                advance(1)
        return [verdicts[package.id] for package in packages]

    def _verify(self, requests: Iterable[CheckRequest]) -> Iterator[tuple[CheckRequest, CrateVerdict]]:
        """Yield requests with their verdicts: first those that need no call of cargo, then others as reached."""
        missing: dict[str, CheckRequest] = {}
        for request in requests:
            verdict = self._without_cargo(request)
            if verdict:
                yield request, verdict
            else:
                missing[request.package.id] = request
        keys = {name: self._key(request) for name, request in missing.items()}
        cached = self.cache.get(keys.values())
        for name, key in keys.items():
            if key in cached:
                yield missing.pop(name), cached[key]
        planned = [Planned(each, build_of(each, self.vendored, self._options)) for each in missing.values()]
        for reached in self._reach(plan(planned, self.vendored)):
            self.cache.put({keys[name]: each for name, each in reached.items() if self._lasts(each)})
            for name, verdict in reached.items():
                yield missing[name], verdict

    def _lasts(self, verdict: CrateVerdict) -> bool:
        """Whether a verdict does not depend on what is installed on the machine or how busy it is."""
        waited = verdict.status == "timeout" and verdict.cpu_seconds < self.limits.wall_seconds / 2
        return verdict.status not in OF_THE_MACHINE and not waited

    def _without_cargo(self, request: CheckRequest) -> CrateVerdict | None:
        """Return the verdict on a crate that cargo need not see."""
        package = request.package
        if not package.has_library:
            return self._verdict(request, "refused", f"it has no library: there is no {package.library_path}")
        foreign = self.vendored.foreign_entry(package)
        if foreign:
            return self._verdict(request, "refused", foreign)
        problem = self.vendored.problem(package, request.features)
        return self._verdict(request, "unresolved", problem) if problem else None

    def _verdict(self, request: CheckRequest, status: CrateStatus, reason: str) -> CrateVerdict:
        package = request.package
        return self._signed(CrateVerdict(package.id, status, package.edition, request.features, reason=reason))

    def _signed(self, verdict: CrateVerdict) -> CrateVerdict:
        return replace(verdict, rustc=self.cargo.toolchain.version, sandbox_level=self.cargo.sandbox.level)

    def _key(self, request: CheckRequest) -> bytes:
        """Return the key of a verdict in the cache: it has everything that the verdict depends on."""
        closure = self.vendored.closure(request.package)
        question = {
            "format": VERDICT_FORMAT,
            "crate": request.package.id,
            "features": request.features,
            "dependencies": [[package.id, self.vendored.content_hash(package)] for package in closure],
            "rustc": self.cargo.toolchain.identity,
            "flags": [CHECK, self.cargo.rustflags],
            "limits": asdict(self.limits),
            "sandbox": self.cargo.sandbox.level,
        }
        return cache_key(self.vendored.content_hash(request.package).encode(), question)

    def _reach(self, batches: Sequence[Batch]) -> Iterator[dict[str, CrateVerdict]]:
        """Yield verdicts by name and version as they are reached."""
        stopped: dict[str, CrateVerdict] = {}
        with ThreadPoolExecutor(self.workers, thread_name_prefix="crate-verifier") as pool:
            running: set[Future[tuple[dict[str, CrateVerdict], list[Batch]]]] = set()
            try:
                running |= {pool.submit(self._check, batch, stopped) for batch in batches}
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        verdicts, remaining = future.result()
                        running |= {pool.submit(self._check, batch, stopped) for batch in remaining}
                        yield verdicts
            except BaseException:
                # Such as Ctrl-C: do not wait for the calls of cargo, which may take many minutes.
                for future in running:
                    future.cancel()
                self.cargo.sandbox.close()
                raise

    def _check(self, batch: Batch, stopped: dict[str, CrateVerdict]) -> tuple[dict[str, CrateVerdict], list[Batch]]:
        """
        Check a batch.

        Args:
            batch: The crates.
            stopped: Verdicts on crates that reached their deadline; those that need them would, too.

        Returns:
            Verdicts, and batches for the crates that have none yet.
        """
        verdicts: dict[str, CrateVerdict] = {}
        waiting: Batch = []
        for planned in batch:
            culprit = next((name for name in sorted(planned.build.certain) if name in stopped), None)
            if culprit:
                reason = f"it needs {culprit}: {stopped[culprit].reason}"
                verdicts[planned.request.package.id] = self._verdict(planned.request, "timeout", reason)
            else:
                waiting.append(planned)
        if not waiting:
            return verdicts, []
        try:
            runs = self.cargo.check([planned.request for planned in waiting])
        except SandboxFailure as failure:
            if len(waiting) > 1:
                middle = len(waiting) // 2
                return verdicts, [waiting[:middle], waiting[middle:]]
            request = waiting[0].request
            return {**verdicts, request.package.id: self._verdict(request, "unavailable", str(failure))}, []
        remaining = [waiting[len(runs) :]] if len(runs) < len(waiting) else []
        for index, (planned, run) in enumerate(zip(waiting, runs, strict=False)):
            verdict = self._signed(judge(run, self.cargo.registry, self._deny, self.limits))
            if index and verdict.status in ("resource_limit", "unavailable"):
                remaining.append([planned])  # others have filled the folder, perhaps
                continue
            verdicts[verdict.crate] = verdict
            if verdict.status == "timeout":
                stopped[verdict.crate] = verdict
        return verdicts, remaining
