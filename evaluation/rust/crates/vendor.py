"""A folder of crate sources: what `cargo vendor` writes, unpacked .crate files, or /usr/share/cargo/registry."""

import hashlib
import json
import os
import stat
from collections.abc import Iterator
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
        self._hashes: dict[str, str] = {}

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
        """
        Return the SHA-256 of a crate's files: their paths, contents and executable bits, and the targets of links.

        Raises:
            ValueError: A symbolic link leads out of the crate's folder, or an entry is no file, folder or link.
        """
        if package.id not in self._hashes:
            self._hashes[package.id] = _hash_folder(package.folder)
        return self._hashes[package.id]

    def stage(self, directory: Path) -> None:
        """
        Make a folder that cargo accepts as a directory source: a folder of symbolic links for each crate, and the
        checksum file that cargo needs and that plain copies of crates do not have.

        Args:
            directory: An existing, empty folder.
        """
        for package in self:
            target = directory / package.id
            target.mkdir()
            for path in package.folder.iterdir():
                if path.name != CHECKSUM_FILE:
                    (target / path.name).symlink_to(path)
            (target / CHECKSUM_FILE).write_text(NO_CHECKSUMS)


def _hash_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    root = folder.resolve()
    for current, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*files, *folders]):
            path = Path(current, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                if not path.resolve().is_relative_to(root):
                    raise ValueError(f"{path} is a symbolic link that leads out of the crate, to {path.resolve()}")
                kind, content = "link", os.readlink(path).encode("utf-8", "surrogateescape")
            elif stat.S_ISREG(mode):
                kind, content = f"file {mode & 0o111:o}", path.read_bytes()
            elif stat.S_ISDIR(mode):
                continue
            else:
                raise ValueError(f"{path} is neither a file nor a folder nor a symbolic link")
            relative = path.relative_to(folder).as_posix()
            digest.update(json.dumps([relative, kind, len(content)]).encode())
            digest.update(content)
    return digest.hexdigest()
