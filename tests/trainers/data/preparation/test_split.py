"""What is held out: decided by hashes of the rows or of their crates."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from trainers.data.preparation.split import split_rows
from trainers.data.row_index import RowIndex
from trainers.data.sources import Document


def index_of(path, documents):
    """Return the index of a file of these documents."""
    path.write_text("".join(json.dumps(asdict(each) | {"mix": ""}) + "\n" for each in documents))
    return RowIndex.of([path])


def split(path, documents, fraction, least):
    """Return the ids on both sides."""
    index = index_of(path, documents)
    parts = split_rows(index, np.arange(len(index)), fraction, least)
    return tuple([document.id for document in index.documents(part)] for part in parts)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.text(alphabet="abc{}", min_size=1, max_size=8), min_size=2, max_size=40), st.floats(0.01, 0.49))
def test_the_split_depends_on_the_code_alone_and_loses_nothing(tmp_path, codes, fraction):
    rows = [Document.of("s", code, "file", "MIT", code) for code in codes]
    rows = list({row.id: row for row in rows}.values())
    sizes = {row.id: len(row.code.encode()) for row in rows}
    least = min(sizes.values())
    try:
        training, validation = split(tmp_path / "rows", rows, fraction, least)
    except ValueError:
        assume(False)
    assert sorted(training + validation) == sorted(sizes)
    assert validation
    assert split(tmp_path / "rows", rows[::-1], fraction, least) == (training, validation)
    assert sum(sizes[each] for each in validation) >= least


def test_all_files_and_versions_of_a_crate_are_on_one_side(tmp_path):
    rows = [
        Document.of(
            "crates", "lib.rs", "file", "MIT", f'const NAME: &str = "{crate} {version}";', crate=f"{crate}-{version}"
        )
        for crate in ("serde", "rand-core", "libc", "num-traits", "syn")
        for version in ("1.0.0", "2.0.0-alpha.1", "10.0.3+build")
    ]
    training, validation = map(set, split(tmp_path / "rows", rows, 0.4, 10))
    names = {row.id: row.code.split('"')[1].split()[0] for row in rows}
    assert not {names[each] for each in training} & {names[each] for each in validation}


def test_too_little_text_is_an_error_with_its_size(tmp_path):
    rows = [Document.of("s", "a", "file", "MIT", "fn a() {}"), Document.of("s", "b", "file", "MIT", "fn b() {}")]
    with pytest.raises(ValueError, match="at least 100 bytes can be held out .* got 18 bytes in 2 texts"):
        split(tmp_path / "rows", rows, 0.1, 100)


def test_no_rows_at_all_are_an_error_as_well(tmp_path):
    with pytest.raises(ValueError, match="got 0 bytes in 0 texts"):
        split(tmp_path / "rows", [], 0.1, 100)
