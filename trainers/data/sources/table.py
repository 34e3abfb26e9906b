"""Tables of code: JSON lines and Parquet."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pyarrow import ArrowInvalid
from pyarrow.parquet import ParquetFile

from trainers.data.sources.columns import choose_columns, row_document
from trainers.data.sources.document import UNKNOWN_LICENSE, Document
from trainers.data.sources.json_lines import json_lines
from trainers.data.sources.source import Source, check_folder, files_identity

PARQUET = ".parquet"
JSON_LINES = tuple(f"{name}{packed}" for name in (".jsonl", ".ndjson") for packed in ("", ".gz", ".zst", ".bz2"))
BATCH = 256


class TableSource(Source):
    """
    Rows of a table: a file of JSON lines (also .gz or .zst) or Parquet, or a folder of such files.

    Args:
        path: File or folder.
        columns: Names of columns by what they hold, as in `USUAL_NAMES`; the others are found by their usual names.
        license: SPDX expression of the rows that have none.
    """

    kind = "table"

    def __init__(self, path: Path, columns: Mapping[str, str] | None = None, license: str = UNKNOWN_LICENSE):
        super().__init__(path.name.partition(".")[0] or path.name)
        self.path, self.columns, self.license = path, dict(columns or {}), license

    def files(self) -> list[Path]:
        """Return the files of the table, sorted."""
        if self.path.is_file():
            return [self.path]
        below = self.path.rglob("*")
        return sorted(path for path in below if path.name.endswith((PARQUET, *JSON_LINES)) and path.is_file())

    def _documents(self) -> Iterator[Document]:
        for path in self.files():
            columns = choose_columns(_columns_of(path), self.columns, str(path))
            within = "" if path == self.path else f"{path.relative_to(self.path).as_posix()}#"
            for number, row in enumerate(_rows(path, list(columns.values())), 1):
                document = row_document(row, columns, self.name, f"{within}{number}", self.license, self.left_out)
                if document is not None:
                    yield document

    def check(self) -> None:
        if not self.path.is_file():
            check_folder("table", self.path)
        files = self.files()
        if not files or not files[0].name.endswith((PARQUET, *JSON_LINES)):
            raise ValueError(
                f"table must be {', '.join(JSON_LINES)} or {PARQUET}, or a folder of these, got {self.path}"
            )
        for path in files:
            choose_columns(_columns_of(path), self.columns, str(path))

    def identity(self) -> str:
        return files_identity(self.files(), repr(sorted(self.columns.items())), self.license)


def _columns_of(path: Path) -> list[str]:
    """Return the columns of a Parquet file, or of the first row of a file of JSON lines."""
    if path.name.endswith(PARQUET):
        with _parquet(path) as file:
            columns, is_empty = file.schema_arrow.names, file.metadata.num_rows == 0
    else:
        first = next(json_lines(path), None)
        columns, is_empty = list(first or ()), first is None
    if is_empty:
        raise ValueError(f"{path} must have rows, got an empty table")
    return columns


def _rows(path: Path, columns: list[str]) -> Iterator[Mapping[str, Any]]:
    if not path.name.endswith(PARQUET):
        yield from json_lines(path)
        return
    with _parquet(path) as file:
        for batch in file.iter_batches(BATCH, columns=columns):
            yield from batch.to_pylist()


def _parquet(path: Path) -> ParquetFile:
    try:
        return ParquetFile(path)
    except ArrowInvalid as error:
        raise ValueError(f"{path} must be a Parquet file, got one with an error: {error}") from error
