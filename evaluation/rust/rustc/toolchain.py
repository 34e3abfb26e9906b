"""Finds the Rust compiler: the real one, once, with what its callers need to know about it."""

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

EDITIONS = ("2015", "2018", "2021", "2024")
OLDEST = (1, 85)  # the first with edition 2024


class ToolchainUnavailable(RuntimeError):
    """No usable Rust compiler; the message says what to install."""


@dataclass(frozen=True)
class Toolchain:
    """A Rust compiler."""

    rustc: str
    """The compiler itself; not rustup's proxy, which costs 10 to 20 ms a call and needs the user's home."""
    version: str
    """Such as `1.95.0`."""
    identity: str
    """Version, commit and host: two compilers with the same identity give the same verdicts."""
    sysroot: str
    target_libdir: str
    """Where the standard library of the host's target lies; programs linked dynamically look for it there."""

    @property
    def environment(self) -> dict[str, str]:
        """What the compiler and its programs need to find their libraries where there is no /proc to ask."""
        return {"LD_LIBRARY_PATH": f"{self.sysroot}/lib:{self.target_libdir}"}


def check_edition(edition: str) -> str:
    """Raises `ValueError` unless `edition` is one of `EDITIONS`."""
    if edition not in EDITIONS:
        raise ValueError(f"edition must be one of {', '.join(EDITIONS)}, got {edition!r}")
    return edition


@functools.cache
def find_toolchain(rustc: str = "rustc") -> Toolchain:
    """The compiler that `rustc` on the PATH stands for. Raises `ToolchainUnavailable`."""
    install = "Install Rust from https://rustup.rs, or: rustup update stable"
    found = shutil.which(rustc)
    if found is None:
        raise ToolchainUnavailable(f"{rustc} is not on the PATH. {install}")
    sysroot = _ask(found, "--print", "sysroot")
    real = Path(sysroot) / "bin" / "rustc"
    # A distribution's compiler has its sysroot in /usr, where bin/rustc may be another one.
    if not os.access(real, os.X_OK) or _ask(str(real), "--print", "sysroot") != sysroot:
        real = Path(found).resolve()
    identity = _ask(str(real), "-vV")
    version = re.search(r"^release: ((\d+)\.(\d+)\S*)", identity, re.MULTILINE)
    if version is None:
        raise ToolchainUnavailable(f"{real} does not say its version: {identity!r}. {install}")
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
