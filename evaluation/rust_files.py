"""The Rust files of a folder, as cargo and git would see it."""

import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gitignore"
# Why a file is left out.
BUILD, HIDDEN, IGNORED = "in target folders", "in hidden folders or hidden", f"that {IGNORE_FILE} excludes"


@dataclass
class RustFiles:
    """
    The .rs files of a folder.

    Attributes:
        paths: Sorted.
        left_out: How many others there are, by the reason.
    """

    paths: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """The number of files left out by reason, in words; empty where none was."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())


def rust_files(folder: Path) -> RustFiles:
    """
    Every .rs file below a folder but those that are no source of its authors: in `target` folders, where cargo builds
    (a module below `src` may have that name); in hidden folders, such as .git; and what the .gitignore files of the
    folder, of its subfolders and of the repository around it exclude. Folders that are symbolic links are not entered.
    """
    found, top = RustFiles(), folder.absolute()
    if top.is_dir():
        _search(top, top, _rules_above(top), found)
    found.paths = sorted(folder / path.relative_to(top) for path in found.paths)
    return found


Rules = tuple[tuple[Path, GitIgnoreSpec], ...]


def _search(folder: Path, top: Path, rules: Rules, found: RustFiles) -> None:
    rules = _with_rules_of(folder, rules)
    with os.scandir(folder) as entries:
        for entry in entries:
            path, is_folder = Path(entry.path), entry.is_dir(follow_symlinks=False)
            if not is_folder and not entry.name.endswith(".rs"):
                continue
            reason = _reason(path, is_folder, top, rules)
            if reason is not None:
                found.left_out[reason] += _count(path) if is_folder else 1
            elif is_folder:
                _search(path, top, rules, found)
            elif entry.is_file():
                found.paths.append(path)
    # A folder without Rust is no reason.
    found.left_out = +found.left_out


def _reason(path: Path, is_folder: bool, top: Path, rules: Rules) -> str | None:
    if path.name.startswith("."):
        return HIDDEN
    if is_folder and path.name == "target" and "src" not in (top.name, *path.relative_to(top).parts):
        return BUILD
    return IGNORED if _excludes(rules, path, is_folder) else None


def _excludes(rules: Rules, path: Path, is_folder: bool) -> bool:
    """The innermost file with a pattern for the path decides, and in it the last such pattern."""
    for folder, spec in reversed(rules):
        answer = spec.check_file(path.relative_to(folder).as_posix() + "/" * is_folder).include
        if answer is not None:
            return answer
    return False


def _with_rules_of(folder: Path, rules: Rules) -> Rules:
    file = folder / IGNORE_FILE
    if not file.is_file():
        return rules
    lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    return (*rules, (folder, GitIgnoreSpec.from_lines(lines)))


def _rules_above(folder: Path) -> Rules:
    """The rules of the repository around the folder; none where they exclude the folder, which was asked for."""
    if (folder / ".git").exists():
        return ()
    root = next((parent for parent in folder.parents if (parent / ".git").exists()), None)
    if root is None:
        return ()
    rules: Rules = ()
    way = [parent for parent in (*reversed(folder.parents), folder) if parent.is_relative_to(root)]
    for outer, path in pairwise(way):
        rules = _with_rules_of(outer, rules)
        if _excludes(rules, path, True):
            return ()
    return rules


def _count(folder: Path) -> int:
    return sum(name.endswith(".rs") for _, _, names in os.walk(folder) for name in names)
