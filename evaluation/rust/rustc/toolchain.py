"""Find the Rust compiler and its properties."""

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

EDITIONS = ("2015", "2018", "2021", "2024")
OLDEST = (1, 85)  # the first version with edition 2024


class ToolchainUnavailable(RuntimeError):
    """There is no usable Rust compiler; the message says what to install."""


@dataclass(frozen=True)
class Toolchain:
    """A Rust compiler."""

    rustc: str
    """Path of the compiler, not of rustup's proxy, which takes 10 to 20 ms per call and needs the home folder."""
    version: str
    """Such as `1.95.0`."""
    identity: str
    """Output of `rustc -vV`: compilers with the same version, commit and host give the same verdicts."""
    sysroot: str
    target_libdir: str
    """Folder of the standard library for the host's target, which dynamically linked programs load."""

    @property
    def environment(self) -> dict[str, str]:
        """Environment in which the compiler and its programs find their libraries without /proc."""
        return {"LD_LIBRARY_PATH": f"{self.sysroot}/lib:{self.target_libdir}"}


def check_edition(edition: str) -> str:
    """Return an edition after checking that it is one of `EDITIONS`. Raises `ValueError`."""
    if edition not in EDITIONS:
        raise ValueError(f"edition must be one of {', '.join(EDITIONS)}, got {edition!r}")
    return edition


@functools.cache
def find_toolchain(rustc: str = "rustc") -> Toolchain:
    """
    Return the compiler behind `rustc` on the PATH, which may be rustup's proxy.

    Raises:
        ToolchainUnavailable: It is missing, too old, or has no standard library.
    """
    install = "Install Rust from https://rustup.rs, or: rustup update stable"
    found = shutil.which(rustc)
    if found is None:
        raise ToolchainUnavailable(f"{rustc} is not on the PATH. {install}")
    sysroot = _ask(found, "--print", "sysroot")
    real = Path(sysroot) / "bin" / "rustc"
    # The sysroot of a Linux distribution's compiler is /usr, where bin/rustc may be another compiler.
    if not os.access(real, os.X_OK) or _ask(str(real), "--print", "sysroot") != sysroot:
        real = Path(found).resolve()
    identity = _ask(str(real), "-vV")
    version = re.search(r"^release: ((\d+)\.(\d+)\S*)", identity, re.MULTILINE)
    if version is None:
        raise ToolchainUnavailable(f"{real} does not print its version: {identity!r}. {install}")
    if (int(version[2]), int(version[3])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ToolchainUnavailable(f"rustc {oldest} or newer is needed, {real} is {version[1]}. {install}")
    libdir = _ask(str(real), "--print", "target-libdir")
    if not Path(libdir).is_dir():
        raise ToolchainUnavailable(f"{real} has no standard library in {libdir}. {install}")
    return Toolchain(str(real), version[1], identity, sysroot, libdir)


def _ask(*command: str) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolchainUnavailable(f"{command[0]} cannot be run: {error}") from error
    if answer.returncode != 0:
        raise ToolchainUnavailable(f"{' '.join(command)} failed: {answer.stderr.strip() or answer.stdout.strip()}")
    return answer.stdout.strip()
