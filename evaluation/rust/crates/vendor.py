"""A folder of crate sources: what `cargo vendor` writes, unpacked .crate files, or /usr/share/cargo/registry."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evaluation.rust.crates.features import FeatureChoice, closure
from evaluation.rust.crates.manifest import CratePackage, Dependency, read_manifest
from evaluation.rust.crates.semver import Version

CHECKSUM_FILE = ".cargo-checksum.json"
# cargo accepts a source without checksums of its files, and needs the file.
NO_CHECKSUMS = json.dumps({"files": {}, "package": None})


class VendoredCrates:
    """
    The crates in a folder that has one folder for each, whatever their names. The folder is only read.

    Args:
        folder: The folder. Hidden entries and files are ignored.

    Attributes:
        packages: The crates, by name and version.

    Raises:
        ValueError: It is no folder, has no crates, has two of the same version, or a manifest cannot be read.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).absolute()
        if not self.folder.is_dir():
            raise ValueError(f"the folder of crates must exist, got {self.folder}")
        entries = sorted(path for path in self.folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        if not entries:
            raise ValueError(f"the folder of crates must have one folder for each crate, {self.folder} has none")
        self.packages: dict[str, CratePackage] = {}
        for path in entries:
            package = read_manifest(path)
            other = self.packages.setdefault(package.id, package)
            if other is not package:
                raise ValueError(
                    f"every version of a crate must be there once, {package.id} is in {other.folder} and in {path}"
                )
        self._versions: dict[str, list[tuple[Version, CratePackage]]] = {}
        for package in self.packages.values():
            self._versions.setdefault(package.name, []).append((Version.parse(package.version), package))
        for versions in self._versions.values():
            versions.sort(key=lambda pair: pair[0], reverse=True)
        self.features = FeatureChoice(self.candidates)
        self._closures: dict[str, tuple[CratePackage, ...]] = {}
        self._read: dict[str, _Contents] = {}

    def __iter__(self) -> Iterator[CratePackage]:
        return iter(self.packages.values())

    def __len__(self) -> int:
        return len(self.packages)

    def candidates(self, dependency: Dependency) -> list[CratePackage]:
        """Return the crates that fit a dependency, the newest first."""
        versions = self._versions.get(dependency.package, ())
        return [package for version, package in versions if dependency.requirement.matches(version)]

    def choose_features(self, package: CratePackage) -> tuple[str, ...]:
        """Return the largest set of features below `default` whose dependencies are in the folder."""
        return self.features.choose(package)

    def widest_features(self, package: CratePackage) -> tuple[str, ...]:
        """Return the features of `choose_features` and all others, with usual names, whose dependencies are there."""
        return self.features.widest(package)

    def problem(self, package: CratePackage, features: tuple[str, ...]) -> str | None:
        """Return why cargo could not resolve a crate with these features, or None if it can."""
        return self.features.problem(package, features)

    def closure(self, package: CratePackage) -> tuple[CratePackage, ...]:
        """Return every crate that a build of this one may compile, without itself, sorted by name and version."""
        if package.id not in self._closures:
            found = closure(package, self.candidates)
            self._closures[package.id] = tuple(sorted(found, key=lambda each: each.id))
        return self._closures[package.id]

    def content_hash(self, package: CratePackage) -> str:
        """Return the SHA-256 of a crate's files: their paths, contents and executable bits, and targets of links."""
        return self._contents(package).digest

    def foreign_entry(self, package: CratePackage) -> str | None:
        """Return what in a crate's folder is not part of the crate, such as a link that leads out, or None."""
        return self._contents(package).foreign

    def _contents(self, package: CratePackage) -> "_Contents":
        if package.id not in self._read:
            self._read[package.id] = _read_folder(package.folder)
        return self._read[package.id]

    def stage(self, directory: Path) -> None:
        """
        Make a folder that cargo accepts as a directory source: a folder of symbolic links for each crate, and the
        checksum file that cargo needs and that plain copies of crates do not have. Crates that the sandbox could not
        read are copied instead: those that are elsewhere, behind a link, and those that only root may read if this
        process is root, because programs in the sandbox are not.

        Args:
            directory: An existing, empty folder.
        """
        private = os.geteuid() == 0 and not all(_is_open(path) for path in (self.folder, *self.folder.parents))
        for package in self:
            target = directory / package.id
            target.mkdir(mode=0o755)
            elsewhere = not package.folder.resolve().is_relative_to(self.folder.resolve())
            copied = private or elsewhere or (os.geteuid() == 0 and not _is_readable(package.folder))
            for path in package.folder.iterdir():
                if path.name == CHECKSUM_FILE:
                    continue
                if copied:
                    _copy(path, target / path.name)
                else:
                    (target / path.name).symlink_to(path)
            (target / CHECKSUM_FILE).write_text(NO_CHECKSUMS)
            (target / CHECKSUM_FILE).chmod(0o644)


def _is_open(path: Path) -> bool:
    """Whether any user may enter a folder or read a file."""
    wanted = 0o5 if path.is_dir() else 0o4
    return path.lstat().st_mode & wanted == wanted


def _is_readable(folder: Path) -> bool:
    """Whether any user may read everything in a folder, apart from the folders above it."""
    return _is_open(folder) and all(
        _is_open(Path(current, name)) for current, folders, files in os.walk(folder) for name in (*folders, *files)
    )


def _copy(source: Path, target: Path) -> None:
    """Copy a file, folder or link such that any user may read it; special files are left out."""
    if source.is_symlink():
        target.symlink_to(os.readlink(source))
    elif source.is_dir():
        target.mkdir()
        target.chmod(0o755)
        for path in source.iterdir():
            _copy(path, target / path.name)
    elif source.is_file():
        shutil.copyfile(source, target)
        target.chmod(0o755 if source.stat().st_mode & 0o111 else 0o644)


@dataclass(frozen=True)
class _Contents:
    digest: str
    foreign: str | None


def _read_folder(folder: Path) -> _Contents:
    digest, foreign = hashlib.sha256(), None
    root = folder.resolve()
    for current, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*files, *folders]):
            path = Path(current, name)
            relative = path.relative_to(folder).as_posix()
            mode, content = path.lstat().st_mode, b""
            if stat.S_ISLNK(mode):
                target = os.readlink(path)
                kind, content = "link", os.fsencode(target)
                if not path.resolve().is_relative_to(root):
                    foreign = foreign or f"{relative} is a symbolic link that leads out of the crate, to {target}"
            elif stat.S_ISREG(mode):
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").digest()
                kind = f"file {mode & 0o111:o}"
            elif stat.S_ISDIR(mode):
                continue
            else:
                kind = "special"
                foreign = foreign or f"{relative} is neither a file nor a folder nor a symbolic link"
            digest.update(json.dumps([relative, kind, len(content)]).encode())
            digest.update(content)
    return _Contents(digest.hexdigest(), foreign)
