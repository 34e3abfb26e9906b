"""
Other names for the parameters and variables of generated programs, each time that a mix repeats one of them.

Generated programs choose from few names, which a small model learns by heart, so that it writes `values` where the
signature says `prices`. With names that real code has, drawn anew for every repetition, only the signature tells them.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from trainers.data.mix import MixedDocument
from trainers.data.mix_names import GENERATED_SOURCES
from trainers.data.rewriting.annotations import ALWAYS_NAMED
from trainers.data.rewriting.bindings import Binding, find_bindings, parse
from trainers.data.rewriting.renaming import rename
from trainers.data.sources import Document

LARGEST_TEXT = 20_000
"""Maximum number of bytes of a text whose names are read."""
BYTES_READ = 2_000_000
"""Maximum number of bytes of all texts whose names are read."""
LONGEST_NAME = 16
"""Maximum number of characters of a name."""
RENAMED_VARIABLES = 0.5
"""Share of the variables that get another name; all parameters do."""
DRAWS = 20
"""Maximum number of names to draw for one binding; if the program has all of them, it keeps its name."""


def names_of(documents: Iterable[Document]) -> list[str]:
    """
    Return the names that at least two of the documents give parameters or variables, in alphabetical order.

    Names of types, such as `u8`, are left out: they are valid, but odd.
    """
    texts: Counter[str] = Counter()
    size = 0
    for document in documents:
        length = len(document.code.encode())
        if length > LARGEST_TEXT:
            continue
        size += length
        if size > BYTES_READ:
            break
        try:
            root = parse(document.code)
        except ValueError:
            continue
        texts.update({binding.name for binding in find_bindings(root) if binding.kind in ("parameter", "local")})
    return sorted(
        name
        for name, count in texts.items()
        if count > 1 and len(name) <= LONGEST_NAME and name not in ALWAYS_NAMED and not name.startswith("_")
    )


def with_other_names(
    documents: Iterable[MixedDocument], names: Sequence[str], seed: int = 0
) -> Iterator[MixedDocument]:
    """
    Yield the documents of a mix; repetitions of generated programs have other names.

    Args:
        documents: Documents of the mix, in order.
        names: Names to draw from, see [`names_of`]; without any, programs stay as they are.
        seed: Equal seeds give equal programs.
    """
    for mixed in documents:
        document = mixed.document
        if names and mixed.repetition and document.source in GENERATED_SOURCES:
            draw = random.Random(f"{seed} {document.id} {mixed.repetition}")
            code = _renamed(document.code, names, draw)
            mixed = replace(mixed, document=replace(document, code=code))
        yield mixed


def _renamed(code: str, names: Sequence[str], draw: random.Random) -> str:
    """Return the program with other names for all parameters and a share of the variables."""

    def choose(binding: Binding, taken: set[str]) -> str | None:
        if binding.kind not in ("parameter", "local"):
            return None
        if binding.kind == "local" and draw.random() >= RENAMED_VARIABLES:
            return None
        drawn = (draw.choice(names) for _ in range(DRAWS))
        return next((name for name in drawn if name not in taken), None)

    return rename(code, choose)
