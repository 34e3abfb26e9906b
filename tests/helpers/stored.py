"""Data sets for tests, in the folder that NANOCHAT_DATA names."""

import gzip
import json
import os
from pathlib import Path

import pytest

DATA = os.environ.get("NANOCHAT_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="NANOCHAT_DATA is not set: the data sets are there")


def rows(name: str) -> list[dict]:
    """All rows of a data set."""
    with gzip.open(Path(DATA, f"{name}.jsonl.gz")) as file:
        return [json.loads(line) for line in file]
