"""Files of JSON lines that are mixed without being read into memory: only ids, sizes and places of rows are kept."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from trainers.data.mix import MixedDocument, MixPlan, mixed_order, plan_mix
from trainers.data.sources import Document

COLUMNS = (*Document.__match_args__, "mix")
"""Columns that each row needs; others are ignored."""
VERSION = re.compile(r"-\d+\.\d+\.\d+.*$")
Column = Literal["mix", "source"]


@dataclass(frozen=True)
class RowIndex:
    """
    Places of the rows of some files. A row takes about 40 bytes of memory.

    Attributes:
        paths: The files.
        files: Index of each row's file, `(rows,)`.
        offsets: Byte at which each row begins in its file.
        lengths: Bytes of each row in its file.
        sizes: Bytes of each row's code.
        ids: Ids of the rows.
        split_keys: Hashes that decide what is held out, from 0 to 2**32: of the crate's name, so that all files and
            versions of a crate are on one side, or else the beginning of the row's id.
        names: Names of the parts of the mix, and of the sources.
        numbers: For each row the index of its name in `names`.
    """

    paths: Sequence[Path]
    files: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    sizes: np.ndarray
    ids: np.ndarray
    split_keys: np.ndarray
    names: Mapping[Column, Sequence[str]]
    numbers: Mapping[Column, np.ndarray]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> "RowIndex":
        """
        Read all rows once and keep their places.

        Args:
            paths: Files of JSON lines with the columns `COLUMNS`.

        Raises:
            ValueError: A line is not a row with these columns as text.
            OSError: A file cannot be read.
        """
        places: list[tuple[int, int, int, int]] = []
        ids: list[bytes] = []
        split_keys: list[int] = []
        names: dict[Column, dict[str, int]] = {"mix": {}, "source": {}}
        numbers: dict[Column, list[int]] = {"mix": [], "source": []}
        for file_number, path in enumerate(paths):
            offset = 0
            with path.open("rb") as file:
                for line_number, line in enumerate(file, 1):
                    row = _parse(line, f"{path}, line {line_number}")
                    places.append((file_number, offset, len(line), len(row["code"].encode())))
                    ids.append(row["id"].encode())
                    split_keys.append(_split_key(row))
                    for column, known in names.items():
                        numbers[column].append(known.setdefault(row[column], len(known)))
                    offset += len(line)
        table = np.array(places, dtype=np.int64).reshape(len(places), 4)
        return cls(
            list(paths),
            table[:, 0].astype(np.int32),
            table[:, 1].copy(),
            table[:, 2].astype(np.int32),
            table[:, 3].astype(np.int32),
            np.array(ids, dtype=bytes),
            np.array(split_keys, dtype=np.uint32),
            {column: list(known) for column, known in names.items()},
            {column: np.array(found, dtype=np.int32) for column, found in numbers.items()},
        )

    def __len__(self) -> int:
        return len(self.ids)

    def rows_by(self, column: Column) -> dict[str, np.ndarray]:
        """Return the row numbers of each name in a column, in the order of the rows' ids."""
        order = np.argsort(self.ids, kind="stable")
        numbers = self.numbers[column][order]
        return {name: order[numbers == number] for number, name in enumerate(self.names[column])}

    def in_order(self, rows: np.ndarray) -> np.ndarray:
        """Return row numbers in the order of the rows' ids."""
        return rows[np.argsort(self.ids[rows], kind="stable")]

    def plan(self, groups: Mapping[str, np.ndarray], shares: Mapping[str, float]) -> MixPlan:
        """
        Plan a mix of groups of rows, see [`plan_mix`].

        Args:
            groups: Row numbers by name, such as those of `rows_by`.
            shares: Shares of the bytes by name.

        Raises:
            ValueError: A name has no rows, or a share is not a positive number.
        """
        return plan_mix({name: int(self.sizes[rows].sum()) for name, rows in groups.items()}, shares)

    def mixed(self, plan: MixPlan, groups: Mapping[str, np.ndarray]) -> Iterator[MixedDocument]:
        """
        Yield the documents of a planned mix in an order that depends only on their ids, one at a time from the disk.

        Args:
            plan: Plan of these groups.
            groups: Row numbers by name. If a group is not taken as a whole, its first rows are.

        Raises:
            ValueError: A file has changed since it was indexed.
        """
        ids = {name: _Texts(self.ids[groups[name]]) for name in plan.bytes}
        sizes = {name: self.sizes[groups[name]] for name in plan.bytes}
        for reading in mixed_order(plan, ids, sizes):
            row = int(groups[reading.name][reading.row])
            yield MixedDocument(self.read(row), reading.name, reading.repetition)

    def documents(self, rows: np.ndarray) -> "IndexedDocuments":
        """Return the documents of some rows, which are read from the disk when they are needed."""
        return IndexedDocuments(self, rows)

    def read(self, row: int) -> Document:
        """
        Read one row.

        Raises:
            ValueError: The file has changed since it was indexed.
        """
        path, offset, identity = self.paths[self.files[row]], int(self.offsets[row]), self.ids[row].decode()
        with path.open("rb") as file:
            file.seek(offset)
            line = file.read(int(self.lengths[row]))
        found = _parse(line, f"{path}, byte {offset}")
        if found["id"] != identity:
            raise ValueError(f"{path} must not change while it is read, got another row at byte {offset}")
        return Document.from_row(found)


class IndexedDocuments(Sequence[Document]):
    """Documents of an index, each read from the disk when it is asked for."""

    def __init__(self, index: RowIndex, rows: np.ndarray):
        self._index, self._rows = index, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, position: int) -> Document: ...
    @overload
    def __getitem__(self, position: slice) -> "IndexedDocuments": ...
    def __getitem__(self, position: int | slice) -> "Document | IndexedDocuments":
        if isinstance(position, slice):
            return IndexedDocuments(self._index, self._rows[position])
        return self._index.read(int(self._rows[position]))


def _split_key(row: Mapping[str, Any]) -> int:
    crate = row.get("crate")
    if not crate:
        return int(row["id"][:8], 16)
    name = VERSION.sub("", crate)
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)


class _Texts(Iterable[str]):
    """Texts of an array of bytes, decoded one at a time."""

    def __init__(self, values: np.ndarray):
        self._values = values

    def __iter__(self) -> Iterator[str]:
        return (value.decode() for value in self._values)


def _parse(line: bytes, place: str) -> dict[str, Any]:
    """Return the row in a line; `place` is named in errors."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{place} must hold a row in JSON, got {line[:60]!r}") from error
    values = row if isinstance(row, dict) else {}
    wrong = [name for name in COLUMNS if not _is_text(values.get(name))]
    if wrong:
        raise ValueError(f"{place} must hold {', '.join(COLUMNS)} as text, got no text in {', '.join(wrong)}")
    return values


def _is_text(value: Any) -> bool:
    """Whether a value is text without lone surrogates, which UTF-8 cannot encode."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
