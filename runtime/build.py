"""
Compile the Rust runtime with the user's rustc, once per version of sources, compiler and processor.

    python -m runtime.build

compiles the library that is delivered with a wheel, see [`prebuild`].
"""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = FOLDER / "src"
CACHE_VARIABLE = "NANOCHAT_RUNTIME_CACHE"
PREBUILT = FOLDER / "prebuilt"
"""Folder of the libraries that are delivered with the package, one for each operating system and architecture."""
OPTIONS = ("--edition", "2021", "--crate-type", "cdylib", "--crate-name", "nanochat", "-C", "opt-level=3")
OPTIONS += ("-C", "strip=symbols", "--cap-lints", "allow")
# Vector instructions of this processor also in the loops that are not written for one of them.
NATIVE = ("-C", "target-cpu=native")
MISSING_COMPILER = (
    "the native engine needs a Rust compiler: rustc was not found in PATH. Install Rust from https://rustup.rs, or "
    "use the engine torch"
)


def cache_folder() -> Path:
    """Return the folder of compiled libraries: $NANOCHAT_RUNTIME_CACHE, or one in the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nanochat-ternary" / "runtime"


def library() -> Path:
    """
    Return the compiled library, and compile it first if there is none for these sources, compiler and processor.

    Several processes may call this at the same time; one of them compiles.

    Raises:
        ValueError: There is no Rust compiler, or it fails.
    """
    sources, processor = _digest(_sources()), _digest([_processor()])
    prebuilt = _prebuilt_path(sources)
    if prebuilt.exists():
        return prebuilt
    compiler = _found_compiler()
    folder = cache_folder()
    path = folder / f"{sources}-{_digest(_compiler(compiler))}-{processor}.so"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed, also by a process that is killed
        if not path.exists():
            _compile(compiler, path, NATIVE)
    return path


def prebuild() -> Path:
    """
    Compile a library that runs on every processor of this architecture into `PREBUILT`, and return it. A wheel that is
    built afterwards contains it, and needs no Rust compiler. The matrix products and the attention are as fast as in
    a library that was compiled for the processor; the other loops use the architecture's oldest instructions.

    Raises:
        ValueError: There is no Rust compiler, or it fails.
    """
    path = _prebuilt_path(_digest(_sources()))
    PREBUILT.mkdir(exist_ok=True)
    _compile(_found_compiler(), path, ())
    for other in PREBUILT.glob(f"*-{sys.platform}-{platform.machine()}.so"):
        if other != path:
            other.unlink()  # of other sources, which would never be loaded
    return path


def _prebuilt_path(sources: str) -> Path:
    return PREBUILT / f"{sources}-{sys.platform}-{platform.machine()}.so"


def _found_compiler() -> str:
    compiler = shutil.which("rustc")
    if compiler is None:
        raise ValueError(MISSING_COMPILER)
    return compiler


def _compile(compiler: str, path: Path, options: Sequence[str]) -> None:
    print("Compiling the native engine (once, a few seconds) ...", file=sys.stderr, flush=True)
    # In the same folder, so that the renaming is atomic.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        made = Path(folder) / "library.so"
        command = [compiler, *OPTIONS, *options, "-o", str(made), str(SOURCES / "lib.rs")]
        finished = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=folder)
        if finished.returncode != 0:
            lines = [line for line in finished.stderr.splitlines() if line.startswith("error")]
            raise ValueError(
                f"the native engine does not compile with {compiler}: {(lines or ['no message'])[0]}. Update Rust "
                "(rustup update), or use the engine torch"
            )
        made.replace(path)


def _sources() -> list[str]:
    files = sorted(SOURCES.rglob("*.rs"))
    assert files, f"the sources of the runtime belong to the package, there are none in {SOURCES}"
    texts = [part for file in files for part in (str(file.relative_to(SOURCES)), file.read_text("utf-8"))]
    return [*texts, *OPTIONS, *NATIVE]


def _compiler(path: str) -> list[str]:
    """
    Describe the compiler without running it, which would take longer than loading the library: the file, and what
    rustup chooses a toolchain from.
    """
    resolved = Path(path).resolve()
    rustup = Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup") / "settings.toml"
    described = [str(resolved), os.environ.get("RUSTUP_TOOLCHAIN", "")]
    for file in (resolved, rustup):
        if file.exists():
            state = file.stat()
            described.append(f"{state.st_size} {state.st_mtime_ns}")
    return described


def _processor() -> str:
    """Describe the instruction set of this machine."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = ("flags", "Features", "model name", "CPU part")
        lines = cpuinfo.read_text().split("\n\n")[0].splitlines()
        return platform.machine() + "\n".join(line for line in lines if line.startswith(names))
    return f"{platform.machine()} {platform.processor()}"


def _digest(parts: list[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)} {part}".encode())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    print(prebuild())
