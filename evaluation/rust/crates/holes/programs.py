"""Build the unit tests of a warm crate with changed files, and run some of them in the sandbox."""

import os
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from evaluation.rust.crates.holes.dispatch import HELPER, REACHED_VARIABLE, as_archive
from evaluation.rust.crates.holes.warm import WarmCrate
from evaluation.rust.judge.appended import listed_tests
from evaluation.rust.rustc.compiler import QUICK, Compilation, Compiler
from evaluation.rust.rustc.toolchain import Toolchain
from evaluation.rust.sandbox.runner import Command, Completed, Limits, Sandbox, SandboxFailure

PROGRAM = "program"
HELPER_FILE = f"lib{HELPER}.rlib"
HELPER_EDITION = "2021"
# As for dependencies, lints that the crate makes errors are none: a candidate may leave a variable unused. The
# standard library is linked statically, because `helper.rs` replaces a function that it calls.
FLAGS = (
    *(part for flag in (*QUICK, "strip=symbols") if flag != "prefer-dynamic" for part in ("-C", flag)),
    *("-A", "warnings", "--cap-lints", "warn", "--error-format=json"),
)
# The tests of a crate read its files relative to its folder, which stays read-only.
START = f'cd "$0" && export {REACHED_VARIABLE}="$1" && shift && exec "$@"'
REACHED_FILE = "{directory}/reached"
COMPILER_FILE_BYTES = 512 << 20


@dataclass(frozen=True)
class Program:
    """A built test program of a crate."""

    path: Path
    crate: WarmCrate

    def remove(self) -> None:
        """Delete its file."""
        self.path.unlink(missing_ok=True)


class Programs:
    """
    Builds and runs test programs.

    Args:
        toolchain: The compiler.
        sandbox: It can read `folder`, the sources of the crates, and the folders of warm crates.
        folder: Where programs are kept until they are removed.
        timeout: Limit on the compiler's processor time, in seconds.
        memory_gib: Limit on its address space, in GiB.
    """

    def __init__(self, toolchain: Toolchain, sandbox: Sandbox, folder: Path, timeout: float, memory_gib: float):
        self.toolchain = toolchain
        self.sandbox = sandbox
        self.folder = folder
        self.compiler = Compiler(toolchain, sandbox, HELPER_EDITION, timeout, memory_gib)
        large = {"file_bytes": COMPILER_FILE_BYTES, "disk_bytes": 2 * COMPILER_FILE_BYTES}
        self.compiler.limits = replace(self.compiler.limits, output_bytes=COMPILER_FILE_BYTES, **large)
        self._helper: bytes | None = None
        self._lock = threading.Lock()

    def check(self, crate: WarmCrate, changes: Mapping[str, bytes], sources: Mapping[str, int]) -> Compilation:
        """Check the unit tests of a crate without building them; arguments as in `build`."""
        return self._compile(crate, changes, sources, ["--emit=metadata"], "")[0]

    def build(
        self, crate: WarmCrate, changes: Mapping[str, bytes], sources: Mapping[str, int]
    ) -> tuple[Compilation, Program | None]:
        """
        Build the unit tests of a crate.

        Args:
            crate: The crate.
            changes: Changed and new files, by their paths relative to the crate's folder.
            sources: Index of the files whose errors are reported separately, by their paths.

        Returns:
            The compiler's answer, and the program if it accepts.

        Raises:
            SandboxFailure: The helper cannot be compiled.
        """
        compilation, program = self._compile(crate, changes, sources, [], PROGRAM)
        return compilation, self._written(crate, program) if compilation.accepted else None

    def _compile(
        self,
        crate: WarmCrate,
        changes: Mapping[str, bytes],
        sources: Mapping[str, int],
        options: Sequence[str],
        result: str,
    ) -> tuple[Compilation, bytes]:
        given = {"changes.tar": as_archive(changes), HELPER_FILE: self._built_helper()}
        before = [
            Command(["/bin/cp", "-rs", str(crate.source), "{directory}/crate"]),
            Command(["/bin/chmod", "-R", "u+w", "crate"]),
            Command(["/bin/tar", "-xf", "changes.tar", "-C", "crate"]),
        ]
        arguments = [
            "--test",
            *crate.arguments,
            *FLAGS,
            *options,
            *("--extern", f"{HELPER}={HELPER_FILE}", "-o", "{directory}/" + PROGRAM),
            f"crate/{crate.package.library_path}",
        ]
        places = {f"crate/{path}": index for path, index in sources.items()}
        return self.compiler.call(
            given, [arguments], places, result=result, before=before, environment=crate.environment
        )

    def _built_helper(self) -> bytes:
        with self._lock:
            if self._helper is None:
                source = files("evaluation.rust.crates.holes").joinpath("helper.rs").read_bytes()
                kind = ["--edition", HELPER_EDITION, "--crate-type", "lib", "--crate-name", HELPER]
                call = [*kind, *FLAGS, "-o", "{directory}/" + HELPER_FILE, "helper.rs"]
                compilation, built = self.compiler.call({"helper.rs": source}, [call], {}, result=HELPER_FILE)
                if not compilation.accepted:
                    told = compilation.unplaced[0].rendered if compilation.unplaced else compilation.reason
                    raise SandboxFailure(f"the helper of hole tasks does not compile: {told}")
                self._helper = built
            return self._helper

    def _written(self, crate: WarmCrate, program: bytes) -> Program:
        descriptor, name = tempfile.mkstemp(prefix="tests-", dir=self.folder)
        with open(descriptor, "wb") as file:
            file.write(program)
            os.fchmod(file.fileno(), 0o755)
        return Program(Path(name), crate)

    def run(self, program: Program, names: Sequence[str], environment: Mapping[str, str], limits: Limits) -> Completed:
        """Run tests by their exact names, one after the other in one process. Raises `SandboxFailure`."""
        (completed,) = self.sandbox.run({}, [self._command(program, names, environment)], limits)
        return completed

    def run_marked(self, program: Program, name: str, limits: Limits) -> tuple[Completed, list[int]]:
        """Run one test of a program with marks, and return the numbers of the functions that it reached."""
        run = self._command(program, [name], {})
        results = self.sandbox.run({}, [run, Command(["/bin/cat", "reached"])], limits)
        said = results[1].stdout.split() if len(results) > 1 else []
        return results[0], [int(number) for number in said if number.isdigit()]

    def listed(self, program: Program, limits: Limits) -> list[str]:
        """Return the names of the tests of a program that are not ignored."""
        found = []
        for options in ([], ["--ignored"]):
            run = self._started(program, ["--list", "--format=terse", *options], {})
            (completed,) = self.sandbox.run({}, [run], limits)
            found.append(listed_tests(completed.stdout.decode("utf-8", "replace")) if completed.status == 0 else [])
        every, ignored = found
        return [name for name in every if name not in set(ignored)]

    def _command(self, program: Program, names: Sequence[str], environment: Mapping[str, str]) -> Command:
        return self._started(program, ["--test-threads=1", "--exact", *names], environment)

    def _started(self, program: Program, arguments: Sequence[str], environment: Mapping[str, str]) -> Command:
        shell = ["/bin/sh", "-c", START, str(program.crate.source), REACHED_FILE, str(program.path)]
        own = program.crate.environment | self.toolchain.environment | dict(environment)
        return Command([*shell, *arguments], own)
