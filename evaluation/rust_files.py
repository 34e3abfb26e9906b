"""The Rust source files of a folder, without build outputs and files that git ignores."""

import os
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gitignore"
# Reasons for leaving files out.
BUILD, HIDDEN, IGNORED = "in target folders", "in hidden folders or hidden", f"that {IGNORE_FILE} excludes"


@dataclass
class RustFiles:
    """
    The .rs files of a folder.

    Attributes:
        paths: Sorted.
        left_out: Number of other .rs files, by the reason.
    """

    paths: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Return the number of files left out by reason, in words; empty if there are none."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())


def rust_files(folder: Path) -> RustFiles:
    """
    Find the .rs files below a folder that its authors wrote. Left out are files in `target` folders, where cargo
    builds (a module below `src` may have that name); in hidden folders, such as .git; and those that the .gitignore
    files of the folder, its subfolders and the repository around it exclude. Symbolic links to folders are not
    followed.
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
    # Remove reasons with a count of 0: folders without Rust.
    found.left_out = +found.left_out


def _reason(path: Path, is_folder: bool, top: Path, rules: Rules) -> str | None:
    if path.name.startswith("."):
        return HIDDEN
    if is_folder and path.name == "target" and "src" not in (top.name, *path.relative_to(top).parts):
        return BUILD
    return IGNORED if _excludes(rules, path, is_folder) else None


def _excludes(rules: Rules, path: Path, is_folder: bool) -> bool:
    """Whether the rules exclude a path: the innermost file with a matching pattern decides, by its last one."""
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
    """Return the rules of the repository around a folder; none if they exclude the folder itself, which was given."""
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
