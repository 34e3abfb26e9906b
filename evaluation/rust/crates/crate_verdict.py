"""The verdict on one crate, and how it follows from what cargo says."""

import dataclasses
import os
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from evaluation.rust.crates.cargo import CargoRun, CrateLimits
from evaluation.rust.crates.cargo_messages import MAX_DIAGNOSTICS, Artifact, Message, files_of
from evaluation.rust.crates.manifest import CratePackage
from evaluation.rust.rustc.compiler import TOO_LARGE
from evaluation.rust.rustc.semantics import classify
from evaluation.rust.verdict import Diagnostic

CrateStatus = Literal[
    "valid",  # its library and everything it needs compile
    "invalid_syntax",  # its library does not parse
    "compilation_failed",  # errors in names, macros, attributes, constants, visibility, ...
    "semantic_error",  # errors in types, traits, ownership, borrows, lifetimes
    "build_failed",  # a build script failed, its own or a dependency's; often a system library is missing
    "dependency_failed",  # a dependency does not compile
    "unresolved",  # a dependency is not in the folder, or cargo cannot combine the versions there
    "timeout",  # the compiler, a build script or a proc macro reached its time limit
    "resource_limit",  # one of them reached a limit on memory, file size, disk or output
    "compiler_crash",  # the compiler crashed
    "refused",  # it has no library, or something in its folder is not part of it
    "unavailable",  # cargo, the sandbox or the machine failed: says nothing about the crate
]
CRATE_STATUSES: tuple[str, ...] = get_args(CrateStatus)
# These may be due to what is installed on the machine, and are found out again every time.
OF_THE_MACHINE = ("build_failed", "dependency_failed", "unavailable")
NO_SPACE = "No space left on device"  # in messages of programs of any language
ATTEMPT = re.compile(r"/[^\s:`\"']*?/attempt-[^/\s:`\"']+")


@dataclass(frozen=True)
class CrateVerdict:
    """
    Result of checking one crate with its dependencies.

    `valid` means that cargo compiles the library as a dependency on this machine, without the lints that are errors
    unless the code allows them. Only `files` were compiled: a module for another platform or feature was not. Code
    that a macro defines and nobody calls was parsed only. A build script or proc macro of the crate or of its
    dependencies may have forged the verdict, but none of another crate.
    """

    crate: str
    """Name and version, such as `serde-1.0.152`."""
    status: CrateStatus
    edition: str
    features: tuple[str, ...]
    """The features it was compiled with, or would have been."""
    files: tuple[str, ...] = ()
    """Rust files of the crate that the compiler read for a valid library, relative to the crate's folder, sorted."""
    diagnostics: tuple[Diagnostic, ...] = ()
    """The first errors, each with the place in its file; `rendered` names the file."""
    reason: str = ""
    """The failure in words; empty if the diagnostics tell it."""
    cpu_seconds: float = 0.0
    """Processor time of cargo and everything it started, including the dependencies that were not compiled yet."""
    rustc: str = ""
    sandbox_level: int = 0
    cached: bool = False
    """Whether the verdict was read from the cache."""

    def __post_init__(self):
        if self.status not in CRATE_STATUSES:
            raise ValueError(f"status must be one of {', '.join(CRATE_STATUSES)}, got {self.status!r}")

    @property
    def ok(self) -> bool:
        """Whether the crate compiles."""
        return self.status == "valid"

    @property
    def error_codes(self) -> tuple[str, ...]:
        """Distinct error codes of rustc, sorted; `NOCODE` stands for errors without one."""
        return tuple(sorted({diagnostic.code or "NOCODE" for diagnostic in self.diagnostics}))

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary of JSON values; `from_dict` turns it back into an equal verdict."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["features"], values["files"] = list(self.features), list(self.files)
        values["diagnostics"] = [vars(diagnostic).copy() for diagnostic in self.diagnostics]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CrateVerdict":
        """
        Return the verdict that `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: The values are not those of a verdict.
        """
        fields = dict(values)
        fields["features"], fields["files"] = tuple(values["features"]), tuple(values["files"])
        fields["diagnostics"] = tuple(Diagnostic(**diagnostic) for diagnostic in values["diagnostics"])
        return cls(**fields)


def judge(run: CargoRun, registry: Path, deny: frozenset[str], limits: CrateLimits) -> CrateVerdict:
    """
    Return the verdict that follows from a call of cargo. `rustc` and `sandbox_level` are left out.

    Args:
        run: The call.
        registry: The folder that the compiler found the crates in; its name is removed from messages.
        deny: Lints that are errors by default.
        limits: The limits that the call had.
    """
    package = run.request.package
    own = [message for message in run.messages.messages if message.crate == package.id and message.library]
    artifact = next((each for each in reversed(run.messages.artifacts) if each.crate == package.id), None)
    verdict = CrateVerdict(
        package.id,
        "valid",
        package.edition,
        artifact.features if artifact else run.request.features,
        cpu_seconds=run.completed.cpu_seconds,
    )
    failure = _limit(run, limits)
    if failure is None and run.completed.status == 0:
        lints = [message.diagnostic for message in own if message.diagnostic.code in deny]
        if lints:
            return _rejected(verdict, classify(lints).status, lints, registry)
        if artifact is not None:
            return replace(verdict, files=tuple(compiled_files(package, run.dep_info, artifact, registry)))
        failure = "unavailable", "cargo reported no library"
    if failure is None:
        status, diagnostics, reason = _rejection(run, own)
        return _rejected(verdict, status, diagnostics, registry, reason)
    return _rejected(verdict, failure[0], [], registry, failure[1])


def compiled_files(package: CratePackage, dep_info: str, artifact: Artifact, registry: Path) -> list[str]:
    """Return the Rust files of a crate that a dep-info names, relative to its folder, sorted."""
    staged, real = registry / package.id, package.folder.resolve()
    found = set()
    for name in files_of(dep_info, artifact.stem):
        path = os.path.normpath(name)
        if path.endswith(".rs") and Path(path).is_relative_to(staged):
            relative = Path(path).relative_to(staged)
            # What is generated, or reached through a link, is not one of the crate's files.
            inside = (package.folder / relative).resolve()
            if inside.is_file() and inside.is_relative_to(real):
                found.add(relative.as_posix())
    return sorted(found)


def _rejected(
    verdict: CrateVerdict, status: CrateStatus, diagnostics: Sequence[Diagnostic], registry: Path, reason: str = ""
) -> CrateVerdict:
    def clean(text: str) -> str:
        """Remove the names of temporary folders."""
        return ATTEMPT.sub("/nanochat-attempt", text.replace(f"{registry}/", ""))

    shown = tuple(
        replace(each, message=clean(each.message), rendered=clean(each.rendered))
        for each in diagnostics[:MAX_DIAGNOSTICS]
    )
    return replace(verdict, status=status, diagnostics=shown, reason=clean(reason))


def _limit(run: CargoRun, limits: CrateLimits) -> tuple[CrateStatus, str] | None:
    """Return the limit that the call reached, if any."""
    completed, messages = run.completed, run.messages
    if completed.ended_by == "deadline":
        return "timeout", f"still compiling after {limits.wall_seconds:g} s"
    if completed.ended_by == "output":
        return "resource_limit", f"printed more than {limits.output_bytes >> 20} MiB"
    if completed.ended_by == "disk":
        return "resource_limit", f"wrote more than {limits.disk_bytes >> 20} MiB"
    if completed.status == 0:
        return None
    ended_by = -completed.status if completed.ended_by == "signal" else messages.signal
    if ended_by == signal.SIGXCPU or (ended_by == signal.SIGKILL and completed.cpu_seconds >= limits.cpu_seconds):
        return "timeout", f"a process used up its {limits.cpu_seconds} s of processor time"
    if ended_by == signal.SIGXFSZ:
        return "resource_limit", f"a file of more than {limits.file_bytes >> 20} MiB"
    if NO_SPACE in messages.stderr:
        return "resource_limit", f"wrote more than {limits.disk_bytes >> 20} MiB"
    if "memory allocation of" in messages.stderr or any(
        TOO_LARGE in message.diagnostic.message for message in messages.messages
    ):
        return "resource_limit", f"a process needed more than {limits.memory_gib:g} GiB of memory"
    if ended_by == signal.SIGKILL or completed.ended_by == "signal":
        return "unavailable", f"cargo or a compiler was killed from outside, by signal {ended_by}"
    return None


def _rejection(run: CargoRun, own: list[Message]) -> tuple[CrateStatus, list[Diagnostic], str]:
    """Return status, errors and reason for a call that failed without reaching a limit."""
    messages = run.messages
    errors = [message.diagnostic for message in own if message.level.startswith("error")]
    others = [message for message in messages.messages if message not in own and message.level.startswith("error")]
    if any(message.level != "error" for message in [*own, *others] if message.level.startswith("error")):
        return "compiler_crash", errors, messages.reason  # "error: internal compiler error"
    if errors:
        return classify(errors).status, errors, ""
    if messages.failed_script:
        return "build_failed", [], f"the build script of {messages.failed_script} failed: {messages.reason}"
    if others:
        crate, diagnostics = others[0].crate, [message.diagnostic for message in others]
        if crate == run.request.package.id:
            return "build_failed", diagnostics, "its build script does not compile"
        return "dependency_failed", diagnostics, f"{crate} does not compile"
    if messages.failed_crate:
        return "compiler_crash", [], messages.reason
    if not messages.artifacts:
        return "unresolved", [], messages.reason
    return "unavailable", [], f"cargo ended with status {run.completed.status}: {messages.reason}"
