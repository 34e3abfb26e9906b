"""Tables, data sets of the Hub and Exercism: columns are found or named, and mistakes are errors at once."""

import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

from trainers.data.sources import Document, ExercismSource, HubSource, TableSource, parse_source, unique_documents
from trainers.data.sources.columns import WITHOUT_TEXT
from trainers.data.sources.exercism import DEPRECATED, UNSOLVED

ROWS = [
    {"repo": "o/a", "path": "src/lib.rs", "licenses": ["MIT", "ISC"], "stars": 7, "text": "fn a() {}\n"},
    {"repo": "o/b", "path": "src/b.rs", "licenses": ["MIT/Apache-2.0"], "stars": None, "text": "fn b() {}\n"},
]
EXPECTED = [
    ("o/a/src/lib.rs", "MIT AND ISC", 7, "fn a() {}\n"),
    ("o/b/src/b.rs", "MIT OR Apache-2.0", None, "fn b() {}\n"),
]


def json_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def brief(rows):
    return [(row.path, row.license, row.stars, row.code) for row in rows]


@pytest.fixture
def tables(tmp_path):
    """The same rows in every format."""
    (tmp_path / "rows.jsonl").write_bytes(json_lines(ROWS))
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(json_lines(ROWS)))
    with pyarrow.output_stream(str(tmp_path / "rows.jsonl.zst"), compression="zstd") as stream:
        stream.write(json_lines(ROWS))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    return tmp_path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst", "rows.parquet"])
def test_every_format_has_the_same_documents(tables, name):
    source = TableSource(tables / name)
    source.check()
    assert brief(source.read()) == EXPECTED


def test_the_files_of_a_folder_are_one_table(tables):
    rows = list(TableSource(tables).read())
    assert len(rows) == 8 and brief(unique_documents(rows)) == EXPECTED


def test_a_data_set_of_the_hub_is_read_as_its_files_are(tables):
    source = HubSource("json", data_files=str(tables / "rows.jsonl.gz"))
    source.check()
    assert brief(source.read()) == EXPECTED
    (tables / "rows.jsonl.zst").unlink()
    (tables / "rows.parquet").unlink()
    (tables / "rows.jsonl.gz").unlink()
    folder = parse_source(f"hub={tables},code=text")
    assert brief(folder.read()) == EXPECTED
    before = folder.identity()
    (tables / "rows.jsonl").write_bytes(json_lines(ROWS[:1]))
    assert folder.identity() != before


def test_a_wrong_column_is_an_error_that_lists_the_columns(tables):
    wrong = r"code must be a column of .* \(repo, path, licenses, stars, text\), got 'body'"
    for source in (
        TableSource(tables / "rows.parquet", {"code": "body"}),
        HubSource("json", data_files=str(tables / "rows.jsonl"), columns={"code": "body"}),
    ):
        with pytest.raises(ValueError, match=wrong):
            source.check()
    (tables / "other.jsonl").write_bytes(json_lines([{"prompt": "x"}]))
    with pytest.raises(ValueError, match="must have a column of code, got the columns prompt; name it with code="):
        TableSource(tables / "other.jsonl").check()


def test_rows_without_a_text_are_counted_and_broken_lines_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json_lines([{"code": "fn f() {}"}, {"code": None}, {"code": "\ud800"}]) + b"{broken\n")
    source = TableSource(path)
    with pytest.raises(ValueError, match="JSON object in each line; line 4 is none"):
        list(source.read())
    assert source.left_out[WITHOUT_TEXT] == 1 and source.left_out.total() == 2
    path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(json_lines(ROWS * 1_000))[:-50])
    with pytest.raises(ValueError, match="must be a complete file"):
        list(TableSource(path.with_suffix(".jsonl.gz")).read())


@pytest.mark.parametrize("content", [b"", b"\n"])
def test_an_empty_table_is_an_error(tmp_path, content):
    (tmp_path / "rows.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match="must have rows, got an empty table"):
        TableSource(tmp_path / "rows.jsonl").check()


def test_a_document_of_a_row_keeps_its_fields():
    document = Document.of("s", "p", "file", "MIT", "fn f() {}", edition="2021", crate="a-1.0.0", num_tests=3)
    row = {name: getattr(document, name) for name in document.__dataclass_fields__}
    assert Document.from_row(row) == document
    assert Document.from_row({name: row[name] for name in Document.__match_args__}).edition is None


def test_a_checkout_of_exercism_and_its_rows_have_the_same_solutions(tmp_path):
    files = {
        "Cargo.toml": '[package]\nname = "two_fer"\nedition = "2024"\n',
        ".docs/instructions.md": "Share.",
        ".meta/example.rs": "pub fn two_fer() {}\n",
        "src/lib.rs": "pub fn two_fer() { todo!() }\n",
        "tests/two_fer.rs": "#[test]\nfn one() {}\n\n#[test]\n#[ignore]\nfn two() {}\n",
    }
    for path, text in files.items():
        place = tmp_path / "checkout/exercises/practice/two-fer" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (tmp_path / "checkout/exercises/practice/old").mkdir()
    (tmp_path / "checkout/exercises/practice/unsolved").mkdir()
    exercises = {"exercises": {"practice": [{"slug": "old", "status": "deprecated"}]}}
    (tmp_path / "checkout/config.json").write_text(json.dumps(exercises))
    parts = {"stub": "src/lib.rs", "example": ".meta/example.rs", "tests": "tests/two_fer.rs"}
    row = {
        "slug": "two-fer",
        "kind": "practice",
        "instructions": "Share.",
        "edition": "2024",
        "deps": [],
        **{column: {path: files[path]} for column, path in parts.items()},
    }
    (tmp_path / "rows.jsonl").write_bytes(json_lines([row]))
    checkout, rows = ExercismSource(tmp_path / "checkout"), ExercismSource(tmp_path / "rows.jsonl")
    assert list(checkout.exercises()) == list(rows.exercises())
    (solution,) = checkout.read()
    assert [solution] == list(rows.read())
    assert (solution.code, solution.num_tests, solution.edition) == ("pub fn two_fer() {}\n", 2, "2024")
    assert checkout.left_out == {DEPRECATED: 1, UNSOLVED: 1}
    (tests,) = parse_source(f"exercism={tmp_path / 'rows.jsonl'},solutions=no").read()
    assert tests.code == files["tests/two_fer.rs"]
