"""One crate: its manifest, its license, its files and the number of its tests."""

import os
import re
import stat
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.data.sources.crate_archives import MANIFEST
from trainers.data.sources.debian_copyright import DebianCopyright, find_debian_copyright
from trainers.data.sources.document import UNKNOWN_LICENSE
from trainers.data.sources.licenses import spdx_expression
from trainers.data.sources.source import LINK_INSIDE, LINK_OUTSIDE, MAX_BYTES, UNREADABLE

# Cargo's default for a manifest without an edition.
FIRST_EDITION = "2015"
_TEST = re.compile(rb"^[ \t]*#\[(?:\w+::)*test(?:\([^\]]*\))?\]", re.MULTILINE)


@dataclass(frozen=True)
class Crate:
    """
    The sources of a crate.

    Attributes:
        folder: Where they are.
        name: From the manifest.
        version: From the manifest; "0.0.0" without one, like cargo.
        edition: From the manifest; "2015" without one, like cargo.
        license: SPDX expression from the manifest, or else of Debian's package, or `UNKNOWN_LICENSE`.
        copyright: Licenses of single files, if the crate is from a Debian package.
    """

    folder: Path
    name: str
    version: str
    edition: str
    license: str
    copyright: DebianCopyright | None = None

    @property
    def key(self) -> str:
        """Name and version, as in `Document.crate`."""
        return f"{self.name}-{self.version}"

    def license_of(self, path: str) -> str:
        """Return the license of a file, by its path within the crate."""
        own = None if self.copyright is None else self.copyright.license_of(path)
        return own or self.license

    def files(self, left_out: Counter[str]) -> list[Path]:
        """
        Return the .rs files, sorted. Left out are those of packages within the package, of `target` at the top, in
        hidden folders, and symbolic links; the links are counted in `left_out`.
        """
        return sorted(_rust_files(self.folder, self.folder.resolve(), left_out))


def is_package(folder: Path) -> bool:
    """Whether a folder has a regular file Cargo.toml."""
    try:
        return stat.S_ISREG((folder / MANIFEST).lstat().st_mode)
    except OSError:
        return False


def read_crate(folder: Path) -> Crate | None:
    """
    Return the crate in a folder, or None if its manifest has no package (a workspace).

    Raises:
        ValueError: The manifest is not TOML, or its package has no name.
    """
    manifest = _read_manifest(folder)
    package = manifest.get("package", manifest.get("project"))
    if not isinstance(package, dict):
        return None
    name = package.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{folder / MANIFEST} must name its package, got {name!r}")
    version = _field(package, "version", folder) or "0.0.0"
    copyright = find_debian_copyright(folder, name, version)
    license = _field(package, "license", folder)
    if license is not None:
        license = spdx_expression(license)
    elif copyright is not None:
        license = copyright.everything
    edition = _field(package, "edition", folder) or FIRST_EDITION
    return Crate(folder, name, version, edition, license or UNKNOWN_LICENSE, copyright)


def count_tests(files: list[Path]) -> int:
    """Return the number of functions with `#[test]` or an attribute like `#[tokio::test]`; large files have none."""
    return sum(len(_TEST.findall(path.read_bytes())) for path in files if path.stat().st_size <= MAX_BYTES)


def count_tests_in(code: str) -> int:
    """Return the number of functions with `#[test]` in a text."""
    return len(_TEST.findall(code.encode()))


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} must have at most {MAX_BYTES:,} bytes, got {path.stat().st_size:,}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} must be TOML, got a file with an error: {error}") from error


def _field(package: dict[str, Any], name: str, folder: Path) -> str | None:
    value = package.get(name)
    if isinstance(value, dict) and value.get("workspace") is True:
        value = _workspace_field(name, folder)
    return value if isinstance(value, str) else None


def _workspace_field(name: str, folder: Path) -> Any:
    """Return a field that a package inherits from the workspace around it, or None."""
    for parent in (folder, *folder.resolve().parents):
        if is_package(parent):
            workspace = _read_manifest(parent).get("workspace")
            if isinstance(workspace, dict):
                return workspace.get("package", {}).get(name)
    return None


def _rust_files(folder: Path, top: Path, left_out: Counter[str]) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.is_symlink() and (entry.name.endswith(".rs") or entry.is_dir()):
                left_out[LINK_INSIDE if path.resolve().is_relative_to(top) else LINK_OUTSIDE] += 1
            elif is_folder:
                is_built = entry.name == "target" and folder.resolve() == top
                if not (entry.name.startswith(".") or is_built or is_package(path)):
                    yield from _rust_files(path, top, left_out)
            elif entry.name.endswith(".rs"):
                if entry.is_file(follow_symlinks=False):
                    yield path
                else:
                    left_out[UNREADABLE] += 1
