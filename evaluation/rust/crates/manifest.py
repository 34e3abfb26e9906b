"""The parts of a published crate's Cargo.toml that its users' builds depend on."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evaluation.rust.crates.semver import Requirement, Version
from evaluation.rust.rustc.toolchain import EDITIONS

DependencyKind = Literal["normal", "build", "dev"]
TABLES: dict[str, DependencyKind] = {
    "dependencies": "normal",
    "build-dependencies": "build",
    "build_dependencies": "build",
    "dev-dependencies": "dev",
    "dev_dependencies": "dev",
}
# A name is written into a manifest, a path and a command.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Dependency:
    """One entry of a table of dependencies."""

    key: str
    """Name in the table, by which features refer to it."""
    package: str
    """Name of the package, another one if it is renamed."""
    requirement: Requirement
    kind: DependencyKind
    target: str | None
    """Condition on the platform, such as `cfg(windows)`. cargo resolves the dependencies of every platform."""
    optional: bool
    default_features: bool
    features: tuple[str, ...]


@dataclass(frozen=True)
class CratePackage:
    """One crate: its manifest and where its source is."""

    name: str
    version: str
    edition: str
    license: str
    """SPDX expression; empty if the manifest has none."""
    folder: Path
    dependencies: tuple[Dependency, ...]
    features: Mapping[str, tuple[str, ...]] = field(hash=False)
    """The table of features, without the implicit ones of optional dependencies."""
    has_library: bool
    library_name: str
    """Name of the library's crate in code."""
    library_path: str
    """File of the library's crate root, relative to the folder."""
    is_proc_macro: bool
    has_build_script: bool
    links: str | None
    """Name of the native library that the crate links to."""
    rust_version: str | None

    @property
    def id(self) -> str:
        """Name and version, such as `serde-1.0.152`."""
        return f"{self.name}-{self.version}"

    @property
    def runs_code(self) -> bool:
        """Whether compiling it runs its code: a build script, or a proc macro in the compiler."""
        return self.has_build_script or self.is_proc_macro

    def needed(self) -> tuple[Dependency, ...]:
        """Return the dependencies that users of the library need, the optional ones included."""
        return tuple(dependency for dependency in self.dependencies if dependency.kind != "dev")


def read_manifest(folder: Path) -> CratePackage:
    """
    Return the crate in a folder.

    Raises:
        ValueError: The folder has no Cargo.toml, or it is not one of a published crate.
    """
    path = folder / "Cargo.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{folder} must have a Cargo.toml that can be read: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be TOML: {error}") from error
    try:
        return _package(folder, document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} must be the manifest of a published crate: {reason}") from error


def _package(folder: Path, document: dict[str, Any]) -> CratePackage:
    package, library = document["package"], document.get("lib", {})
    name, version = package["name"], package["version"]
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise ValueError(f"package.name must be letters, digits, _ and -, got {name!r}")
    if not isinstance(version, str):
        raise ValueError(f"package.version must be a text (cargo writes it when it publishes), got {version!r}")
    Version.parse(version)
    edition = package.get("edition", "2015")
    if edition not in EDITIONS:
        raise ValueError(f"package.edition must be one of {', '.join(EDITIONS)}, got {edition!r}")
    library_path = library.get("path", "src/lib.rs")
    if not isinstance(library_path, str):
        raise ValueError(f"lib.path must be a text, got {library_path!r}")
    library_name = library.get("name", name.replace("-", "_"))
    if not isinstance(library_name, str) or NAME.fullmatch(library_name) is None:
        raise ValueError(f"lib.name must be letters, digits and _, got {library_name!r}")
    build = package.get("build")
    return CratePackage(
        name=name,
        version=version,
        edition=edition,
        license=str(package.get("license", "")),
        folder=folder,
        dependencies=tuple(_dependencies(document)),
        features={feature: tuple(members) for feature, members in document.get("features", {}).items()},
        has_library=(folder / library_path).is_file(),
        library_name=library_name,
        library_path=library_path,
        is_proc_macro=bool(library.get("proc-macro", library.get("proc_macro", False))),
        has_build_script=bool(build) if build is not None else (folder / "build.rs").is_file(),
        links=package.get("links"),
        rust_version=package.get("rust-version"),
    )


def _dependencies(document: dict[str, Any]):
    platforms: list[tuple[str | None, dict[str, Any]]] = [(None, document), *document.get("target", {}).items()]
    for target, tables in platforms:
        for table, kind in TABLES.items():
            for key, entry in tables.get(table, {}).items():
                fields = {"version": entry} if isinstance(entry, str) else entry
                yield Dependency(
                    key=key,
                    package=fields.get("package", key),
                    requirement=Requirement.parse(fields.get("version", "*")),
                    kind=kind,
                    target=target,
                    optional=bool(fields.get("optional", False)),
                    default_features=bool(fields.get("default-features", fields.get("default_features", True))),
                    features=tuple(fields.get("features", ())),
                )
