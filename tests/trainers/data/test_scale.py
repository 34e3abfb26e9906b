"""The pipelines for several machines keep the rows that the plain functions keep."""

import json

import pytest

pytest.importorskip("datatrove", reason="datatrove is not installed: it is in the extra `scale`")

import pyarrow as pa
import pyarrow.parquet as parquet

from evaluation.rust import RustVerifier
from trainers.data.benchmark_problems import Benchmark, ProblemText
from trainers.data.decontamination import Contamination
from trainers.data.duplicates import NearDuplicates, signatures
from trainers.data.scale import FindDuplicates, filter_locally, input_reader, read_output
from trainers.data.sources import Document, unique_documents
from trainers.data.verify import as_program

PROBLEM = "fn longest_equal_run(values: &[i64], start: usize) -> usize { values[start..].len() }\n"


def code(name: str, body: str = "x + 1", count: int = 12) -> str:
    return "".join(f"pub fn {name}_{n}(x: u32) -> u32 {{ {body} }}\n" for n in range(count))


CODES = [
    code("first"),
    code("broken", body="missing"),
    code("second"),
    "  " + code("first"),
    PROBLEM + code("third"),
    "// a comment\n" + code("second"),
    'println!("an example");',
    code("broken", body="missing") + "fn more() {}",
]


def rows() -> list[dict]:
    return [
        {"id": f"row-{n}", "code": text, "kind": "example" if "println" in text else "file", "license": "MIT"}
        for n, text in enumerate(CODES)
    ]


def searched() -> Contamination:
    return Contamination([Benchmark("runs", (ProblemText("run", (), PROBLEM),))])


def plain(given: list[dict], contamination: Contamination, verifier: RustVerifier) -> list[dict]:
    documents = [Document.of(row["id"], "", row["kind"], "", row["code"]) for row in given]
    near, kept = NearDuplicates(), []
    for document in unique_documents(documents):
        if near.find(signatures([document.code])[0], document.source) is None:
            match = contamination.check(document.code)
            if match is None or not match.scored:
                kept.append(document)
    verdicts = verifier.verify([as_program(document) for document in kept])
    status = {each.source: verdict.status for each, verdict in zip(kept, verdicts, strict=True) if verdict.ok}
    return [{**row, "status": status[row["id"]]} for row in given if row["id"] in status]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_two_tasks_keep_the_rows_of_the_plain_functions(tmp_path, form):
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for part in range(4):
        some = rows()[part * 2 : part * 2 + 2]
        if form == "jsonl":
            (inputs / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
        else:
            parquet.write_table(pa.Table.from_pylist(some), inputs / f"{part}.parquet")
    with RustVerifier(workers=1) as verifier:
        expected = plain(rows(), searched(), verifier)
        filter_locally(inputs, tmp_path / "work", tmp_path / "output", searched(), verifier, tasks=2, workers=2)
    found = sorted(read_output(tmp_path / "output"), key=lambda row: row["id"])
    assert found == expected
    assert [row["id"] for row in found] == ["row-0", "row-2", "row-6"]
    report = (tmp_path / "work" / "signatures" / "duplicates.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in report] == [
        {"id": "row-3", "duplicate_of": "row-0"},
        {"id": "row-5", "duplicate_of": "row-2"},
        {"id": "row-7", "duplicate_of": "row-1"},
    ]


def test_other_files_and_missing_columns_are_errors(tmp_path):
    with pytest.raises(ValueError, match="inputs must be a folder of .* files only, got no files"):
        input_reader(tmp_path)
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "fn f() {}"}\n')
    with pytest.raises(ValueError, match="rows must have the columns id, code; .*a.jsonl lacks code"):
        input_reader(tmp_path)
    (tmp_path / "b.txt").write_text("")
    with pytest.raises(ValueError, match=r"files only, got .jsonl, .txt"):
        input_reader(tmp_path)


def test_duplicates_are_searched_for_in_one_task(tmp_path):
    with pytest.raises(ValueError, match="duplicates must be searched for in 1 task, got 2"):
        list(FindDuplicates(tmp_path).run(world_size=2))
