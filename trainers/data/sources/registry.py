"""The kinds of sources by name, and their form on the command line: KIND=PATH,option=value."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainers.data.sources.columns import USUAL_NAMES
from trainers.data.sources.compiler_tests import CompilerTestSource
from trainers.data.sources.crates import CrateSource
from trainers.data.sources.document import UNKNOWN_LICENSE
from trainers.data.sources.documentation import (
    BuiltinSource,
    CrateExampleSource,
    DocumentationSource,
    RustByExampleSource,
    StdSource,
)
from trainers.data.sources.exercism import ExercismSource
from trainers.data.sources.folder import FolderSource
from trainers.data.sources.hub import HubSource
from trainers.data.sources.licenses import spdx_expression
from trainers.data.sources.repairs import RepairSource
from trainers.data.sources.source import Source
from trainers.data.sources.table import TableSource

Options = Mapping[str, str]
LICENSE = "default_license"
COLUMNS = tuple(USUAL_NAMES)


@dataclass(frozen=True)
class SourceKind:
    """
    A kind of source.

    Attributes:
        help: What it reads, in a few words.
        make: Makes a source from the text behind the "=", or None if there is none, and its options.
        place: What the text behind the "=" is; None if there is no text.
        place_required: Whether the text must be there.
        options: Names of the options.
    """

    help: str
    make: Callable[[str, Options], Source]
    place: str | None = "PATH"
    place_required: bool = True
    options: tuple[str, ...] = ()


SOURCES: dict[str, SourceKind] = {
    "crates": SourceKind(
        "crates: a vendor folder, Debian's packages, .crate files, or one crate or workspace",
        lambda place, options: CrateSource(_path(place)),
    ),
    "crate-examples": SourceKind(
        "examples in the doc comments of crates",
        lambda place, options: CrateExampleSource(_path(place)),
    ),
    "compiler-tests": SourceKind(
        "the compiler's tests: a checkout of rust-lang/rust, or its tarball",
        lambda place, options: CompilerTestSource(_path(place)),
    ),
    "rust-by-example": SourceKind(
        "Rust by Example, of the installed toolchain or a folder of its documentation",
        lambda place, options: RustByExampleSource(_path(place) if place else None),
        place_required=False,
    ),
    "documentation": SourceKind(
        "examples of the Book, the Reference, the Nomicon, the Edition Guide and std",
        lambda place, options: DocumentationSource(_path(place) if place else None),
        place_required=False,
    ),
    "std-sources": SourceKind(
        "source files of the standard library",
        lambda place, options: StdSource(_path(place) if place else None),
        place_required=False,
    ),
    "exercism": SourceKind(
        "Exercism's Rust track: a checkout of exercism/rust, or JSON lines; solutions=no reads the tests instead",
        lambda place, options: ExercismSource(_path(place), _yes_or_no(options, "solutions", True)),
        options=("solutions",),
    ),
    "folder": SourceKind(
        "the .rs files of a folder",
        lambda place, options: FolderSource(_path(place), _license(options)),
        options=(LICENSE,),
    ),
    "table": SourceKind(
        "JSON lines (also .gz, .zst) or Parquet, a file or a folder of them",
        lambda place, options: TableSource(_path(place), _columns(options), _license(options)),
        options=(LICENSE, *COLUMNS),
    ),
    "hub": SourceKind(
        "a data set of the Hub",
        lambda place, options: HubSource(
            place,
            options.get("split", "train"),
            options.get("config"),
            options.get("revision"),
            options.get("data_files"),
            _columns(options),
            _license(options),
        ),
        place="NAME",
        options=("split", "config", "revision", "data_files", LICENSE, *COLUMNS),
    ),
    "repairs": SourceKind(
        "rejected programs of a data preparation with the compiler's message and a fixed version",
        lambda place, options: RepairSource(_path(place)),
    ),
    "builtin": SourceKind(
        "the few files that were written for this project",
        lambda place, options: BuiltinSource(),
        place=None,
        place_required=False,
    ),
}


def parse_source(text: str) -> Source:
    """
    Return the source of a text such as "crates=vendor", "hub=NAME,code=content,license=licenses" or "documentation".

    The part behind the kind is a path or a name, then come options. `default_license=SPDX` is the license of rows and
    files that have none. In tables, `code=COLUMN` and the other names of `USUAL_NAMES` name columns.

    Raises:
        ValueError: There is no such kind or option, or a part is missing.
    """
    head, *rest = re.split(r",(?=\w+=)", text)
    name, _, place = head.partition("=")
    kind = SOURCES.get(name)
    if kind is None:
        raise ValueError(f"source must be one of {', '.join(SOURCES)}, got {name!r}")
    if kind.place_required and not place:
        raise ValueError(f"source {name} must have the form {name}={kind.place}, got {text!r}")
    if kind.place is None and place:
        raise ValueError(f"source {name} must be given without a path, got {text!r}")
    options = dict(each.split("=", 1) for each in rest)
    wrong = sorted(set(options) - set(kind.options))
    if wrong:
        allowed = ", ".join(kind.options) or "no options"
        raise ValueError(f"source {name} has {allowed}, got the option {wrong[0]!r} in {text!r}")
    return kind.make(place, options)


def absolute_source(text: str) -> str:
    """Return the text of a source with an absolute path, which means the same in every folder."""
    head, *rest = re.split(r",(?=\w+=)", text)
    name, _, place = head.partition("=")
    kind = SOURCES.get(name)
    if kind is None or kind.place != "PATH" or not place:
        return text
    return ",".join([f"{name}={_path(place).resolve()}", *rest])


def _path(place: str) -> Path:
    return Path(place).expanduser()


def _columns(options: Options) -> dict[str, str]:
    return {holds: options[holds] for holds in COLUMNS if holds in options}


def _license(options: Options) -> str:
    if LICENSE not in options:
        return UNKNOWN_LICENSE
    license = spdx_expression(options[LICENSE])
    if license == UNKNOWN_LICENSE:
        raise ValueError(f"{LICENSE} must be an SPDX expression such as MIT, got {options[LICENSE]!r}")
    return license


def _yes_or_no(options: Options, name: str, default: bool) -> bool:
    if name not in options:
        return default
    if options[name] not in ("yes", "no"):
        raise ValueError(f"{name} must be yes or no, got {options[name]!r}")
    return options[name] == "yes"
