"""Mixing files of rows by a plan: the same documents as in memory, read one at a time."""

import json
import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.data.mix import MAX_REPEATS, MixedDocument, mix_documents, plan_mix
from trainers.data.row_index import RowIndex
from trainers.data.sources import Document

PARTS = ("high_quality_rust", "verified_examples", "documentation")


def documents(count=90):
    for index in range(count):
        code = f"fn f{index}() {{ /* é */ }}\n" * (1 + index % 7)
        yield Document.of(f"source {index % 5}", f"{index}.rs", "file", "MIT", code)


def write_shards(folder, rows, shards=3, **columns):
    """Write the rows, whose part depends on their path, to files in turns."""
    paths = [folder / f"{index}.jsonl" for index in range(shards)]
    files = [path.open("w") for path in paths]
    for index, row in enumerate(rows):
        values = vars(row) | {"mix": PARTS[int(row.path.removesuffix(".rs")) % 3], "level": "easy"} | columns
        files[index % shards].write(json.dumps(values, ensure_ascii=index % 2 == 0) + "\n")
    for file in files:
        file.close()
    return paths


@given(
    sizes=st.lists(st.integers(1, 10**9), min_size=1, max_size=5),
    shares=st.lists(st.floats(0.01, 100), min_size=5, max_size=5),
)
def test_a_plan_keeps_the_shares_and_repeats_no_source_too_often(sizes, shares):
    named = {f"source {index}": size for index, size in enumerate(sizes)}
    wanted = dict(zip(named, shares, strict=False))
    plan = plan_mix(named, wanted)
    whole = sum(wanted.values())
    for name, taken in plan.bytes.items():
        assert taken / plan.total_bytes == pytest.approx(wanted[name] / whole)
        assert plan.epochs[name] == pytest.approx(taken / named[name]) and plan.epochs[name] <= MAX_REPEATS * 1.000001
    assert math.isclose(plan.total_bytes, sum(sizes)) or math.isclose(max(plan.epochs.values()), MAX_REPEATS)


def test_a_plan_knows_how_often_each_source_is_read():
    plan = plan_mix({"many": 3000, "few": 500, "unused": 7}, {"many": 1, "few": 1})
    assert plan.epochs == {"many": pytest.approx(1750 / 3000), "few": pytest.approx(3.5)}


def mixed(index, shares, column="mix"):
    """Return the documents of a mix of the rows by a column."""
    groups = index.rows_by(column)
    return list(index.mixed(index.plan(groups, shares), groups))


@pytest.mark.parametrize("sizes", [{"a": 5}, {"a": 5, "b": 0}])
def test_a_plan_names_sources_without_text(sizes):
    with pytest.raises(ValueError, match=r"a mix must name existing sources \(a\), got b"):
        plan_mix(sizes, {"a": 1, "b": 1})


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_rows_of_files_are_mixed_like_documents_in_memory(tmp_path_factory, seed):
    generator = random.Random(seed)
    rows = list(documents(generator.randint(5, 60)))
    folder = tmp_path_factory.mktemp("shards")
    index = RowIndex.of(write_shards(folder, rows, generator.randint(1, 4)))
    chosen = generator.sample([f"source {each}" for each in range(5)], generator.randint(1, 5))
    shares = {name: generator.random() + 0.05 for name in chosen}
    groups = {name: [row for row in rows if row.source == name] for name in chosen}
    found = mixed(index, shares, "source")
    assert [each.document for each in found] == mix_documents([], shares, groups)
    assert all(each.mix == each.document.source for each in found)


def test_a_mix_depends_on_the_rows_and_not_on_their_files(tmp_path):
    mixes = []
    for name, shards in (("one", 1), ("five", 5)):
        (tmp_path / name).mkdir()
        rows = list(documents())
        index = RowIndex.of(write_shards(tmp_path / name, rows if shards == 1 else rows[::-1], shards))
        mixes.append(mixed(index, {PARTS[0]: 1, PARTS[1]: 5}))
    assert mixes[0] == mixes[1] and {each.mix for each in mixes[0]} == set(PARTS[:2])


def test_repetitions_are_counted_and_as_many_as_planned(tmp_path):
    index = RowIndex.of(write_shards(tmp_path, documents()))
    groups = index.rows_by("mix")
    plan = index.plan(groups, {PARTS[0]: 1, PARTS[1]: 9})
    found = list(index.mixed(plan, groups))
    readings = Counter((each.document.id, each.mix) for each in found)
    repetitions = {(each.document.id, each.mix): each.repetition for each in found}
    for (identity, part), count in readings.items():
        assert math.floor(plan.epochs[part]) <= count <= math.ceil(plan.epochs[part])
        assert repetitions[identity, part] < count
    assert len({each for each in readings if each[1] == PARTS[1]}) == 30
    assert isinstance(found[0], MixedDocument) and found[0].document in list(documents())


@pytest.mark.parametrize(
    "line, fault",
    [
        ('{"id": "a"', "must hold a row in JSON"),
        ("[]", "must hold id, source, .* got no text in id, source, path"),
        (json.dumps(vars(next(documents()))), "must hold .* got no text in mix"),
        (json.dumps(vars(next(documents())) | {"mix": "a", "code": 3}), "must hold .* got no text in code"),
    ],
)
def test_a_wrong_row_is_named_with_its_file_line_and_column(tmp_path, line, fault):
    (path,) = write_shards(tmp_path, documents(3), 1)
    with path.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match=f"0.jsonl, line 4 {fault}"):
        RowIndex.of([path])


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path):
    (path,) = write_shards(tmp_path, documents(6), 1)
    index = RowIndex.of([path])
    write_shards(tmp_path, reversed(list(documents(6))), 1)
    with pytest.raises(ValueError, match="0.jsonl"):
        mixed(index, {PARTS[0]: 1})


def test_text_that_utf_8_cannot_encode_is_named(tmp_path):
    (path,) = write_shards(tmp_path, documents(1), 1, code="'\ud800'")
    with pytest.raises(ValueError, match="0.jsonl, line 1 must hold .* got no text in code"):
        RowIndex.of([path])
