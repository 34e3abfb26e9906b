"""
Run cargo in the sandbox on crates of a folder, without a network.

Each crate is checked as the only dependency of a package of its own, so that its features and versions are those that
it gets alone. Packages that are checked in the same attempt share a target folder: what one has compiled, the next
does not compile again. Build scripts and proc macros run, so a shared target folder is also what they may change; see
`crate_batches.py` for who may share one.
"""

import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.rust.crates.cargo_messages import CargoMessages, read_messages
from evaluation.rust.crates.manifest import CratePackage
from evaluation.rust.crates.vendor import VendoredCrates
from evaluation.rust.rustc.toolchain import Toolchain, ToolchainUnavailable, find_toolchain
from evaluation.rust.sandbox.runner import Command, Completed, Limits, Sandbox, require_consent

FOREIGN = "build scripts and proc macros of other people's crates, while cargo compiles these crates"
PACKAGE = "nanochat-check"  # name of the package that depends on a crate
# -vv has cargo cap the lints of dependencies at warnings, which are reported, rather than silence them.
CHECK = ("check", "--offline", "-vv", "--message-format=json")
SETUP_SECONDS = 60.0
TARGET = "target"


@dataclass(frozen=True)
class CrateLimits:
    """
    Limits on what cargo and everything it starts may use.

    Raises:
        ValueError: A limit is not positive and finite.
    """

    wall_seconds: float = 300.0
    """Deadline of one crate, with the dependencies that are not compiled yet."""
    cpu_seconds: int = 120
    """Processor time of each process, such as one call of rustc."""
    memory_gib: float = 8.0
    """Address space of each process."""
    file_bytes: int = 1 << 30
    disk_bytes: int = 4 << 30
    """Size of an attempt's directory with the target folder; in memory at sandbox level 2."""
    output_bytes: int = 64 << 20

    def __post_init__(self):
        self.for_crates(1)

    def for_crates(self, count: int) -> Limits:
        """Return the sandbox's limits for an attempt that checks several crates."""
        return Limits(
            wall_seconds=SETUP_SECONDS + count * self.wall_seconds,
            cpu_seconds=self.cpu_seconds,
            memory_bytes=int(self.memory_gib * (1 << 30)),
            file_bytes=self.file_bytes,
            disk_bytes=self.disk_bytes,
            processes=512,
            open_files=1024,
            output_bytes=self.output_bytes,
        )


@dataclass(frozen=True)
class CheckRequest:
    """A crate to check, and its features. The default ones are among them only if `default` is named."""

    package: CratePackage
    features: tuple[str, ...] = ("default",)


@dataclass(frozen=True)
class CargoRun:
    """Result of one call of cargo."""

    request: CheckRequest
    completed: Completed
    messages: CargoMessages
    dep_info: str
    """Contents of the dep-info files that rustc wrote for the crate's library: the files it read."""


class Cargo:
    """
    cargo, a staged copy of the folder of crates, and the sandbox that both are in. Usable by several threads.

    Args:
        vendored: The crates.
        sandbox: Lowest level of the sandbox to accept, as in `Sandbox`.
        limits: Limits on every check.
        jobs: Number of compilers that one call of cargo may start.

    Raises:
        CodeExecutionNotAllowed: The user has not consented to run build scripts and proc macros.
        ToolchainUnavailable: rustc or cargo is missing.
        SandboxUnavailable: The machine does not support the level.
    """

    def __init__(
        self, vendored: VendoredCrates, sandbox: str | int = "auto", limits: CrateLimits | None = None, jobs: int = 1
    ):
        require_consent(FOREIGN)
        self.vendored = vendored
        self.limits = limits or CrateLimits()
        self.jobs = jobs
        self.toolchain = find_toolchain()
        self.cargo = find_cargo(self.toolchain)
        self.lints = default_levels(self.toolchain)
        self._staged = Path(tempfile.mkdtemp(prefix="rust-crates-"))
        try:
            self._staged.chmod(0o755)  # in the sandbox, another user reads it
            self.registry = self._staged / "registry"
            self.registry.mkdir(mode=0o755)
            vendored.stage(self.registry)
            # The links lead to the folders of the crates, which must be readable by the same names.
            readable = [self.toolchain.sysroot, vendored.folder, self._staged]
            probe = Command([self.cargo, "-V"], self.toolchain.environment)
            self.sandbox = Sandbox(readable, probe, sandbox)
        except BaseException:
            shutil.rmtree(self._staged)
            raise

    def __enter__(self) -> "Cargo":
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Stop the sandbox and remove the staged copy."""
        self.sandbox.close()
        shutil.rmtree(self._staged, ignore_errors=True)

    @property
    def config(self) -> str:
        """Contents of cargo's config.toml: crates come from the folder, and from nowhere else."""
        return (
            '[source.crates-io]\nreplace-with = "vendored"\n'
            f"[source.vendored]\ndirectory = {json.dumps(str(self.registry))}\n"
            "[net]\noffline = true\n"
        )

    @property
    def environment(self) -> dict[str, str]:
        """
        Environment of cargo. Its home is `.cargo` in the attempt's directory, where the config belongs, and its target
        folder is `target` there if that is its working directory.
        """
        return {
            **self.toolchain.environment,
            "RUSTC": self.toolchain.rustc,
            "CARGO_TARGET_DIR": TARGET,
            "CARGO_INCREMENTAL": "0",
            "CARGO_BUILD_JOBS": str(self.jobs),
            "CARGO_TERM_COLOR": "never",
            "CARGO_PROFILE_DEV_DEBUG": "0",
            "CARGO_PROFILE_TEST_DEBUG": "0",
        }

    @property
    def rustflags(self) -> str:
        """
        Flags that silence the lints that are warnings by default. They are noise here, unlike those that are errors
        by default. `-A warnings` would also silence the latter, as cargo has capped them.
        """
        return " ".join(f"-A{name}" for name, level in sorted(self.lints.items()) if level == "warn")

    def check(self, requests: Sequence[CheckRequest]) -> list[CargoRun]:
        """
        Check the libraries of crates, one after the other in one attempt.

        Returns:
            The results, in the order given. They end with the first crate that reached a limit of the attempt: those
            behind it were not checked.

        Raises:
            SandboxFailure: The sandbox failed.
        """
        files = {"config.toml": self.config.encode()}
        setup = ["set -e", "mkdir .cargo", "mv config.toml .cargo/config.toml"]
        commands = []
        for index, request in enumerate(requests):
            files[f"manifest{index}"] = manifest(request).encode()
            folder = f"check{index}"
            setup += [f"mkdir {folder}", f"mv manifest{index} {folder}/Cargo.toml", f": > {folder}/lib.rs"]
            arguments = [self.cargo, *CHECK, "--manifest-path", f"{folder}/Cargo.toml"]
            environment = {**self.environment, "RUSTFLAGS": self.rustflags}
            commands.append(Command(arguments, environment, wall_seconds=self.limits.wall_seconds, may_fail=True))
            pattern = f"{TARGET}/debug/deps/{request.package.library_name}-*.d"
            commands.append(Command(["/bin/sh", "-c", f"cat {pattern} 2> /dev/null"], may_fail=True))
        first = Command(["/bin/sh", "-c", "\n".join(setup)])
        results = self.sandbox.run(files, [first, *commands], self.limits.for_crates(len(requests)))
        assert results[0].status == 0, f"the attempt cannot be prepared: {results[0].stderr.decode()}"
        runs = []
        for index, request in enumerate(requests):
            of_this = results[1 + 2 * index : 3 + 2 * index]
            if not of_this:
                break
            dep_info = of_this[1].stdout.decode("utf-8", "replace") if len(of_this) == 2 else ""
            runs.append(CargoRun(request, of_this[0], read_messages(of_this[0]), dep_info))
        return runs


def manifest(request: CheckRequest) -> str:
    """Return the Cargo.toml of a package whose only dependency is a crate."""
    package = request.package
    features = ", ".join(json.dumps(feature) for feature in request.features)
    return (
        f'[package]\nname = "{PACKAGE}"\nversion = "0.0.0"\nedition = "2021"\n'
        '[lib]\npath = "lib.rs"\n'
        "[workspace]\n"
        f'[dependencies]\nchecked = {{ package = "{package.name}", version = "={package.version}", '
        f"default-features = false, features = [{features}] }}\n"
    )


def find_cargo(toolchain: Toolchain) -> str:
    """
    Return the path of the cargo that belongs to a compiler, not of rustup's proxy.

    Raises:
        ToolchainUnavailable: There is none.
    """
    for path in (Path(toolchain.rustc).with_name("cargo"), Path(toolchain.sysroot, "bin/cargo")):
        if os.access(path, os.X_OK):
            return str(path)
    raise ToolchainUnavailable(
        f"there is no cargo beside {toolchain.rustc}. Install it: rustup component add cargo, or your system's package"
    )


@functools.cache
def default_levels(toolchain: Toolchain) -> Mapping[str, str]:
    """Return the default level (`allow`, `warn` or `deny`) of the compiler's lints, by their names in messages."""
    answer = subprocess.run([toolchain.rustc, "-W", "help"], capture_output=True, text=True, check=True, timeout=60)
    rows = (line.split() for line in answer.stdout.splitlines())
    levels = {row[0].replace("-", "_"): row[1] for row in rows if len(row) > 1 and row[1] in ("allow", "warn", "deny")}
    levels.pop("warnings", None)  # all lints at that level, not one of them
    return levels
