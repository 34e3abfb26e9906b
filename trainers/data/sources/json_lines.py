"""Files of JSON lines, plain or compressed, read line by line."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow


def json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines; see `numbered_json_lines`."""
    for _, row in numbered_json_lines(path):
        yield row


def numbered_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """
    Yield the objects of a file of JSON lines, each with the number of its line. The file may be compressed (.gz, .zst,
    .bz2); one line is in memory.

    Raises:
        ValueError: A line is no JSON object, or the compressed file is cut off; names the file and the line.
    """
    number = 0
    try:
        with pyarrow.input_stream(str(path), compression="detect") as stream, io.BufferedReader(stream) as lines:
            for line in lines:
                number += 1
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("it is no object")
                yield number, row
    except ValueError as error:
        raise ValueError(f"{path} must hold a JSON object in each line; line {number} is none: {error}") from error
    except OSError as error:
        raise ValueError(f"{path} must be a complete file, got one that ends after line {number}: {error}") from error
