"""Columns of tables, and the documents in their rows."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from trainers.data.sources.document import FILE, KINDS, UNKNOWN_LICENSE, Document
from trainers.data.sources.licenses import spdx_expression
from trainers.data.sources.source import UNREADABLE

USUAL_NAMES = {
    "code": ("code", "content", "text", "source_code", "body"),
    "path": ("path", "file_path", "filepath", "file_name", "filename", "max_stars_repo_path", "name"),
    "license": ("license", "licenses", "max_stars_repo_licenses", "detected_licenses"),
    "source": ("source",),
    "repository": ("repo", "repository", "repo_name", "repository_name", "max_stars_repo_name"),
    "kind": ("kind",),
    "edition": ("edition",),
    "crate": ("crate",),
    "num_tests": ("num_tests",),
    "stars": ("stars", "star_count", "stargazers_count", "max_stars_count", "star_events_count"),
}
"""Usual names of the columns of a table, by what they hold; the first that a table has is used."""
WITHOUT_TEXT = "rows without text"


def choose_columns(columns: Iterable[str], given: Mapping[str, str], table: str) -> dict[str, str]:
    """
    Return the names of the columns to read, by what they hold.

    Args:
        columns: Of the table.
        given: Names that the user gives, by what they hold.
        table: Name of the table in errors.

    Raises:
        ValueError: `given` names a column that is not there, or no column has code.
    """
    columns = list(columns)
    there = ", ".join(columns)
    for holds, column in given.items():
        if holds not in USUAL_NAMES:
            raise ValueError(f"columns must be named for {', '.join(USUAL_NAMES)}, got one for {holds!r}")
        if column not in columns:
            raise ValueError(f"{holds} must be a column of {table} ({there}), got {column!r}")
    usual = {
        holds: next((name for name in names if name in columns), None)
        for holds, names in USUAL_NAMES.items()
        if holds not in given
    }
    chosen = {holds: name for holds, name in usual.items() if name is not None and name not in given.values()}
    chosen.update(given)
    if "code" not in chosen:
        raise ValueError(f"{table} must have a column of code, got the columns {there}; name it with code=COLUMN")
    return chosen


def row_document(
    row: Mapping[str, Any], columns: Mapping[str, str], source: str, place: str, license: str, left_out: Counter[str]
) -> Document | None:
    """
    Return the document in a row, or None if it has no text, which is counted in `left_out`.

    Args:
        row: Values by column.
        columns: From `choose_columns`.
        source: Name of the table, for rows without a source.
        place: Number of the row, for rows without a path.
        license: For rows without a license.
        left_out: Counts by reason.
    """
    values = {holds: row.get(column) for holds, column in columns.items()}
    code = values.get("code")
    if not isinstance(code, str):
        left_out[WITHOUT_TEXT] += 1
        return None
    try:
        code.encode()
    except UnicodeEncodeError:
        left_out[UNREADABLE] += 1
        return None
    kind = _text(values.get("kind")) or FILE
    path, repository = str(values.get("path") or place), values.get("repository")
    return Document.of(
        _text(values.get("source")) or source,
        f"{repository}/{path}" if repository else path,
        kind if kind in KINDS else FILE,
        _license(values.get("license")) or license,
        code,
        edition=_text(values.get("edition")),
        crate=_text(values.get("crate")),
        num_tests=_number(values.get("num_tests")),
        stars=_number(values.get("stars")),
    )


def _license(value: Any) -> str | None:
    """Return a license or a list of licenses, all of which hold, as one expression."""
    each = [text for text in (value if isinstance(value, list | tuple) else [value]) if isinstance(text, str) and text]
    if not each:
        return None
    found = [spdx_expression(text) for text in each]
    if UNKNOWN_LICENSE in found:
        return UNKNOWN_LICENSE
    return found[0] if len(found) == 1 else spdx_expression(" AND ".join(f"({text})" for text in found))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and value == value
    return int(value) if is_number else None
