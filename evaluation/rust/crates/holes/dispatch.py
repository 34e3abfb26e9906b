"""
Many bodies of a function in one compiled program: each run chooses one of them.

    fn area(&self) -> f64 { match ::nanochat_holes::candidate(&crate::nanochat_tokens) {
        1 => include!("nanochat_1.rs"), 2 => include!("nanochat_2.rs"), _ => { the original body } } }

Every candidate is a file of its own, so that it can only be an expression, whatever its brackets are, and so that the
compiler's errors name it. `nanochat_holes` is a small crate of this package (`helper.rs`). A run chooses a candidate
by its token, a random number that no other candidate knows: a program that starts itself again could otherwise run the
original body.
"""

import io
import secrets
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from evaluation.rust.crates.holes.functions import Function, Source

HELPER = "nanochat_holes"
TOKENS = "nanochat_tokens"
TOKEN_VARIABLE = "NANOCHAT_CANDIDATE"
REACHED_VARIABLE = "NANOCHAT_REACHED"


@dataclass(frozen=True)
class Dispatch:
    """Files of a crate that have a choice of bodies."""

    files: Mapping[str, bytes]
    """Changed and new files, by their paths relative to the crate's folder."""
    candidates: Mapping[str, int]
    """Index of each candidate by the path of its file."""
    tokens: tuple[int, ...]
    """The number that chooses each candidate; the first one chooses the original bodies."""

    def environment(self, candidate: int | None) -> dict[str, str]:
        """Return the environment of a run with a candidate, or with the original bodies."""
        return {TOKEN_VARIABLE: str(self.tokens[0 if candidate is None else candidate + 1])}


def dispatch(sources: Mapping[str, Source], root: str, bodies: Sequence[tuple[Function, bytes]]) -> Dispatch:
    """
    Give the functions of a crate a choice of bodies.

    Args:
        sources: Files of the crate.
        root: File of the crate's root.
        bodies: Candidates: the function and a body with its braces.
    """
    numbers: dict[Function, list[int]] = defaultdict(list)
    candidates: dict[str, int] = {}
    files: dict[str, bytes] = {}
    for index, (function, body) in enumerate(bodies):
        numbers[function].append(index)
        path = (PurePosixPath(function.path).parent / _file_name(index)).as_posix()
        candidates[path] = index
        files[path] = body
    tokens = tuple(secrets.randbits(63) for _ in range(len(bodies) + 1))
    edits: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for function, indices in numbers.items():
        arms = " ".join(f'{index + 1} => include!("{_file_name(index)}"),' for index in indices)
        opening = f"{{ match ::{HELPER}::candidate(&crate::{TOKENS}) {{ {arms} _ => "
        edits[function.path] += [(function.body_start, opening.encode()), (function.body_end, b" } }")]
    changed = {path: inserted(sources[path].code, edits[path]) for path in edits}
    table = f"pub(crate) static {TOKENS}: [u64; {len(tokens)}] = [{', '.join(map(str, tokens))}];\n"
    return Dispatch(files | _with_helper(changed, sources, root, table), candidates, tokens)


def marked(sources: Mapping[str, Source], root: str, functions: Iterable[Function]) -> dict[str, bytes]:
    """Return the changed files of a crate in which each function first records its index in `functions`."""
    edits: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for number, function in enumerate(functions):
        mark = f" ::{HELPER}::reached({number});"
        edits[function.path].append((function.body_start + 1, mark.encode()))
    changed = {path: inserted(sources[path].code, edits[path]) for path in edits}
    return _with_helper(changed, sources, root, "")


def _file_name(index: int) -> str:
    return f"nanochat_{index + 1}.rs"


def _with_helper(changed: dict[str, bytes], sources: Mapping[str, Source], root: str, items: str) -> dict[str, bytes]:
    code = changed.get(root, sources[root].code)
    return changed | {root: code + f"\nextern crate {HELPER};\n{items}".encode()}


def inserted(code: bytes, edits: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the code with texts inserted at these offsets."""
    parts, position = [], 0
    for offset, text in sorted(edits, key=lambda edit: edit[0]):
        parts += [code[position:offset], text]
        position = offset
    return b"".join([*parts, code[position:]])


def as_archive(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive of files by their paths."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
