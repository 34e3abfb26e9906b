"""
Fetching the sources of crates together with their dependencies, from Debian's packages or from crates.io.

apt and cargo check the signatures or hashes of what they download. Nothing is built, and no scripts of the packages
are run.
"""

import re
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.complete_files import named_in_errors

DEFAULT_CRATES = ("cargo", "bat", "sequoia-openpgp", "rav1e", "hyper", "petgraph", "gtk4")
"""Seven crates whose dependencies are some 400 others."""
FETCHED = ".fetched"
"""Folder with an empty file for each Debian package that was unpacked."""
_CRATE_NAME = re.compile(r"[A-Za-z0-9][\w-]*")
_PACKAGE = re.compile(r"^Inst (librust-\S+) ", re.MULTILINE)
_URI = re.compile(r"^'[^']*' (\S+_\S+\.deb) (\d+)", re.MULTILINE)

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Package:
    """
    A package to download.

    Attributes:
        name: "librust-NAME-dev" of Debian, or "NAME-VERSION" of crates.io.
        file: Name of its file.
        size: Bytes to download; None if the index does not say.
        is_there: Whether it was fetched before.
    """

    name: str
    file: str
    size: int | None
    is_there: bool


def plan_apt(crates: Sequence[str], output_dir: Path) -> list[Package]:
    """
    Return Debian's packages of crates and of all that they depend on, without recommended ones.

    Raises:
        ValueError: There is no such package, or the names are not those of crates.
        OSError: apt-get is not installed.
    """
    wanted = [f"librust-{name.lower().replace('_', '-')}-dev" for name in _checked(crates)]
    # With an empty list of installed packages, so that those of this machine are fetched as well.
    with tempfile.NamedTemporaryFile() as nothing:
        simulated = _run(
            ["apt-get", "install", "--simulate", "--no-install-recommends", f"-oDir::State::status={nothing.name}"]
            + wanted
        )
    names = sorted(_PACKAGE.findall(simulated))
    uris = _run(["apt-get", "download", "--print-uris", *names])
    found = []
    for file, size in _URI.findall(uris):
        is_there = (output_dir / FETCHED / file).is_file()
        found.append(Package(file.partition("_")[0], file, int(size), is_there))
    return found


def fetch_apt(packages: Sequence[Package], output_dir: Path, advance: Advance = lambda done: None) -> None:
    """
    Download packages and unpack them into a folder, which then has the crates in usr/share/cargo/registry. Packages
    that are there are not downloaded again. Each appears completely or not at all.

    Args:
        packages: From `plan_apt`.
        output_dir: Folder to unpack into.
        advance: Called with the number of packages that were just fetched.

    Raises:
        ValueError: A download failed; run it again to continue.
        OSError: A file cannot be written.
    """
    (output_dir / FETCHED).mkdir(parents=True, exist_ok=True)
    for package in packages:
        if package.is_there:
            continue
        # Beside the target, so that folders can be renamed into it.
        with tempfile.TemporaryDirectory(dir=output_dir, prefix=".partial-") as temporary:
            _run(["apt-get", "download", package.name], Path(temporary))
            (archive,) = Path(temporary).glob("*.deb")
            unpacked = Path(temporary) / "unpacked"
            _run(["dpkg-deb", "-x", str(archive), str(unpacked)])
            with named_in_errors(output_dir):
                for place in ("usr/share/cargo/registry", "usr/share/doc"):
                    _move_entries(unpacked / place, output_dir / place)
                (output_dir / FETCHED / package.file).touch()
        advance(1)


def plan_cargo(crates: Sequence[str], output_dir: Path) -> list[Package]:
    """
    Return the newest versions of crates and of all that they depend on, as cargo resolves them.

    Raises:
        ValueError: There is no such crate, or crates.io cannot be reached.
        OSError: cargo is not installed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        manifest = _write_manifest(crates, Path(temporary))
        _run(["cargo", "generate-lockfile", "--manifest-path", str(manifest)])
        locked = tomllib.loads((Path(temporary) / "Cargo.lock").read_text(encoding="utf-8"))
    names = sorted(f"{each['name']}-{each['version']}" for each in locked["package"] if "source" in each)
    return [Package(name, f"{name}.crate", None, (output_dir / name).is_dir()) for name in names]


def fetch_cargo(crates: Sequence[str], output_dir: Path, advance: Advance = lambda done: None) -> None:
    """
    Put the newest versions of crates and of all that they depend on into a folder, with `cargo vendor`. Crates that
    are there stay as they are. Each appears completely or not at all.

    Args:
        crates: Names on crates.io.
        output_dir: Folder of the crates.
        advance: Called with the number of crates that were just written.

    Raises:
        ValueError: cargo failed.
        OSError: A file cannot be written.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    # cargo keeps what it has downloaded, so an interrupted call does not begin anew.
    with tempfile.TemporaryDirectory(dir=output_dir, prefix=".partial-") as temporary:
        manifest = _write_manifest(crates, Path(temporary))
        vendored = Path(temporary) / "vendored"
        command = ["cargo", "vendor", "--versioned-dirs", "--respect-source-config", "--manifest-path", str(manifest)]
        _run([*command, str(vendored)])
        with named_in_errors(output_dir):
            advance(_move_entries(vendored, output_dir))


def _move_entries(source: Path, target: Path) -> int:
    """Rename the entries of a folder into another one unless they are there; return the number of new ones."""
    if not source.is_dir():
        return 0
    target.mkdir(parents=True, exist_ok=True)
    moved = 0
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if not (place.exists() or place.is_symlink()):
            entry.rename(place)
            moved += 1
    return moved


def _write_manifest(crates: Sequence[str], folder: Path) -> Path:
    """Write the manifest of a package that depends on the crates; return its path."""
    (folder / "lib.rs").touch()
    manifest = folder / "Cargo.toml"
    package = '[package]\nname = "fetched"\nversion = "0.0.0"\nedition = "2021"\n[lib]\npath = "lib.rs"\n'
    dependencies = "".join(f'{name} = "*"\n' for name in _checked(crates))
    # A workspace of its own, whatever folder it lies in.
    manifest.write_text(f"{package}[workspace]\n[dependencies]\n{dependencies}", encoding="utf-8")
    return manifest


def _checked(crates: Sequence[str]) -> list[str]:
    wrong = [name for name in crates if not _CRATE_NAME.fullmatch(name)]
    if wrong or not crates:
        raise ValueError(f"crates must be names of crates such as serde, got {wrong or 'none'}")
    return list(dict.fromkeys(crates))


def _run(command: list[str], folder: Path | None = None) -> str:
    """Run a command and return its output; `ValueError` with the last line of its errors if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it gave no message"]
        errors = [line for line in lines if line.startswith(("E:", "error:"))]
        message = "; ".join(dict.fromkeys([*errors, lines[-1]]))
        raise ValueError(f"{' '.join(command[:2])} failed: {message}")
    return done.stdout
