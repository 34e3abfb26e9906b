"""Calls of rustc in the sandbox, and its errors by source file."""

import json
import math
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from evaluation.rust.rustc.semantics import category
from evaluation.rust.rustc.toolchain import Toolchain
from evaluation.rust.sandbox.runner import Command, Completed, Limits, Sandbox, SandboxFailure
from evaluation.rust.verdict import Diagnostic, Status

ROOT = "candidate.rs"
CrateType = Literal["bin", "lib", "test"]
MODULE = "nanochat_batch_"  # prefix of the names of a batch's modules
# Not --cap-lints allow: that also silences errors, such as the lint against endless evaluation of constants.
COMMON_FLAGS = ("-A", "warnings", "--error-format=json", "--out-dir", "{directory}")
FLAGS = ("--emit=metadata", *COMMON_FLAGS)
# The fastest builds; other workers use the other processors.
QUICK = ("debuginfo=0", "prefer-dynamic", "embed-bitcode=no", "codegen-units=1")
BUILD_FLAGS = (*(part for flag in QUICK for part in ("-C", flag)), *COMMON_FLAGS)
OUTPUT_BYTES = 16 << 20
TOO_LARGE = "tried to allocate more memory than available to compiler"  # an E0080, but caused by the memory limit
NO_SPACE = "(os error 28)"
MUCH_MEMORY = 1 << 30


@dataclass(frozen=True)
class Compilation:
    """Result of one or more calls of the compiler."""

    accepted: bool = False
    errors: dict[int, list[Diagnostic]] = field(default_factory=dict)
    """Errors by the index of their source."""
    unplaced: list[Diagnostic] = field(default_factory=list)
    """Errors in none of the sources, or in several."""
    failure: Status | None = None
    """`timeout`, `resource_limit`, `compiler_crash` or `unavailable` if the compiler gave no answer."""
    reason: str = ""
    """The failure in words."""
    seconds: float = 0.0


class Compiler:
    """
    Check or build Rust sources, without running them.

    Args:
        toolchain: The compiler.
        sandbox: Where it runs.
        edition: Rust edition.
        timeout: Limit on its processor time, in seconds.
        memory_gib: Limit on its address space, in GiB.
    """

    def __init__(self, toolchain: Toolchain, sandbox: Sandbox, edition: str, timeout: float, memory_gib: float = 4.0):
        self.toolchain = toolchain
        self.sandbox = sandbox
        self.edition = edition
        self.limits = Limits(
            cpu_seconds=math.ceil(timeout),
            # rustc never waits, so processor time is the actual limit. Wall time allows for an overloaded machine.
            wall_seconds=4 * timeout + 5,
            memory_bytes=int(memory_gib * (1 << 30)),
            output_bytes=OUTPUT_BYTES,
        )

    def compile_alone(self, source: bytes, crate_type: CrateType) -> Compilation:
        """Check one source as a crate."""
        return self._check({ROOT: source}, {ROOT: 0}, crate_type)

    def compile_together(self, sources: Sequence[bytes], crate_type: CrateType = "lib") -> Compilation:
        """Check several sources as modules of one crate."""
        files = as_modules(sources)
        names = [name for name in files if name != ROOT]
        return self._check(files, {name: index for index, name in enumerate(names)}, crate_type)

    def _check(self, files: dict[str, bytes], sources: dict[str, int], crate_type: CrateType) -> Compilation:
        return self.call(files, [[*self.kind(crate_type), *FLAGS, ROOT]], sources)[0]

    def kind(self, crate_type: CrateType) -> list[str]:
        """Return the options for the edition and the kind of crate."""
        return ["--edition", self.edition, *(["--test"] if crate_type == "test" else ["--crate-type", crate_type])]

    def call(
        self,
        files: dict[str, bytes],
        calls: Sequence[Sequence[str]],
        sources: dict[str, int],
        result: str = "",
        *,
        before: Sequence[Command] = (),
        environment: dict[str, str] | None = None,
    ) -> tuple[Compilation, bytes]:
        """
        Call the compiler several times, until it rejects something.

        Args:
            files: Contents of its directory by file name.
            calls: Arguments of each call.
            sources: Index by file name, for the files whose errors are reported separately.
            result: A file that the last call creates.
            before: Commands that prepare the directory.
            environment: Further variables for the compiler.

        Returns:
            The outcome, and the content of `result`.
        """
        variables = (environment or {}) | self.toolchain.environment
        commands = [*before, *(Command([self.toolchain.rustc, *arguments], variables) for arguments in calls)]
        if result:
            commands.append(Command(["/bin/cat", result]))
        try:
            results = self.sandbox.run(files, commands, self.limits)
        except SandboxFailure as failure:
            return Compilation(failure="unavailable", reason=str(failure)), b""
        seconds = sum(completed.seconds for completed in results)
        completed = results[-1]
        # Status 0 always means accepted: a lint that the code itself made an error gives status 1.
        if completed.status == 0:
            return Compilation(accepted=True, seconds=seconds), completed.stdout
        errors, unplaced, other = _read_errors(completed.stderr, sources)
        failure, reason = self._failure(
            completed, other, unplaced, [error for each in errors.values() for error in each] + unplaced
        )
        return Compilation(False, errors, unplaced, failure, reason, seconds), b""

    def _failure(
        self, completed: Completed, other: str, unplaced: list[Diagnostic], told: list[Diagnostic]
    ) -> tuple[Status | None, str]:
        """Return why the compiler gave no answer, or None if it gave one."""
        rejected = bool(told)
        if completed.ended_by == "deadline":
            if completed.cpu_seconds < self.limits.cpu_seconds / 2:
                return "unavailable", "the machine is too busy: the compiler got less than half of its processor time"
            return "timeout", f"the compiler was still working after {self.limits.wall_seconds:.0f} s"
        if completed.status == -signal.SIGXCPU or (
            completed.status == -signal.SIGKILL and completed.cpu_seconds >= self.limits.cpu_seconds
        ):
            return "timeout", f"the compiler used up its {self.limits.cpu_seconds} s of processor time"
        if any(TOO_LARGE in error.message for error in told):
            return (
                "resource_limit",
                f"the compiler needed more than {self.limits.memory_bytes / (1 << 30):g} GiB of memory",
            )
        if completed.ended_by == "output":
            return (None, "") if rejected else ("resource_limit", "the compiler's output was too long")
        if completed.ended_by == "disk":
            return "resource_limit", f"the compiler wrote more than {self.limits.disk_bytes >> 20} MiB"
        if completed.status == -signal.SIGKILL and completed.peak_bytes < MUCH_MEMORY:
            return "unavailable", "the compiler was killed from outside"
        if completed.status == -signal.SIGXFSZ:
            return "resource_limit", "the compiler wrote too large a file"
        full = NO_SPACE in other or any(NO_SPACE in diagnostic.message for diagnostic in unplaced)
        if full:
            # At level 2 the limit of the attempt's directory was reached, at lower levels the machine's disk is full.
            status = "resource_limit" if self.sandbox.level == 2 else "unavailable"
            return status, "no space left in the compiler's directory"
        if "memory allocation of" in other or "out of memory" in other or completed.status == -signal.SIGKILL:
            return (
                "resource_limit",
                f"the compiler needed more than {self.limits.memory_bytes / (1 << 30):g} GiB of memory",
            )
        if completed.status == 101 or completed.ended_by == "signal":
            return "compiler_crash", _crash(completed, other)
        if completed.status == 1 and rejected:
            return None, ""
        return "unavailable", f"the compiler ended with status {completed.status}: {other.strip()[:500]}"


def as_modules(sources: Sequence[bytes], visibility: Literal["", "pub "] = "") -> dict[str, bytes]:
    """Return the files of a crate in which each source is a module."""
    names = [f"{MODULE}{index}.rs" for index in range(len(sources))]
    root = "".join(f'#[path = "{name}"]\n{visibility}mod {name.removesuffix(".rs")};\n' for name in names)
    return {**dict(zip(names, sources, strict=True)), ROOT: root.encode()}


def _crash(completed: Completed, other: str) -> str:
    how = f"signal {-completed.status}" if completed.ended_by == "signal" else f"status {completed.status}"
    lines = [line for line in other.splitlines() if line.strip()]
    return f"rustc crashed with {how}" + (f": {lines[0][:200]}" if lines else "")


def _read_errors(stderr: bytes, sources: dict[str, int]) -> tuple[dict[int, list[Diagnostic]], list[Diagnostic], str]:
    """Return the errors by source, those without a source, and the lines that are no diagnostics."""
    errors: dict[int, list[Diagnostic]] = {}
    unplaced, other = [], []
    # Not splitlines: quoted code may contain other separators, such as U+2028.
    for line in stderr.decode("utf-8", "replace").split("\n"):
        try:
            message = json.loads(line)
        except ValueError:
            other.append(line)
            continue
        if not (isinstance(message, dict) and str(message.get("level", "")).startswith("error")):
            continue
        if message["message"].startswith("aborting due to"):
            continue
        places = [place for span in message["spans"] if span["is_primary"] and (place := _place(span, sources))]
        if len({source for source, _, _ in places}) == 1:
            source, line_number, column = places[0]
            replacements = _replacements(message, source, sources)
            errors.setdefault(source, []).append(_diagnostic(message, source, line_number, column, replacements))
        else:
            unplaced.append(_diagnostic(message))
    return errors, unplaced, "\n".join(other)


def _place(span: dict, sources: dict[str, int]) -> tuple[int, int, int] | None:
    """Return source, line and column of a span, or of the macro invocation that it was expanded from."""
    while span["file_name"] not in sources:
        if span["expansion"] is None:
            return None
        span = span["expansion"]["span"]
    return sources[span["file_name"]], span["line_start"], span["column_start"]


def _replacements(message: dict, source: int, sources: dict[str, int]) -> tuple[tuple[int, int, str], ...]:
    """Return the first suggestion that the compiler is sure of, if all of it is in one source."""
    for child in message["children"]:
        spans = [span for span in child["spans"] if span["suggested_replacement"] is not None]
        sure = all(
            span["suggestion_applicability"] == "MachineApplicable"
            and sources.get(span["file_name"]) == source
            and span["expansion"] is None
            for span in spans
        )
        if spans and sure:
            return tuple((span["byte_start"], span["byte_end"], span["suggested_replacement"]) for span in spans)
    return ()


def _diagnostic(
    message: dict,
    source: int | None = None,
    line: int | None = None,
    column: int | None = None,
    replacements: tuple[tuple[int, int, str], ...] = (),
):
    """Return an error worded as if the source had been compiled alone."""
    code = message["code"]["code"] if message["code"] else None
    texts = message["message"], message["rendered"] or ""
    text, rendered = (
        text.replace(f"{MODULE}{source}.rs:", f"{ROOT}:").replace(f"{MODULE}{source}::", "") for text in texts
    )
    return Diagnostic(code, category(code, text, rendered), text, line, column, rendered, replacements)


def names_others(errors: Sequence[Diagnostic]) -> bool:
    """Whether the compiler's explanation of errors mentions another module of the batch."""
    return any(MODULE in error.rendered for error in errors)
