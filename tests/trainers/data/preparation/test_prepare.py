"""The whole preparation, with rustc: equal bytes however it is interrupted, and nothing planted comes through."""

import json
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.crates import write_crate
from trainers.data.__main__ import main
from trainers.data.benchmark_problems import SUITE_PROBLEMS
from trainers.data.preparation import inspection
from trainers.data.preparation.inputs import INPUTS
from trainers.data.preparation.prepare import prepare_rows
from trainers.data.preparation.report import (
    REPORT,
    USAGE,
    Usage,
    benchmark_lines,
    find_corpus,
    read_report,
    report_tables,
)
from trainers.data.preparation.settings import PreparationSettings
from trainers.data.preparation.shards import read_rows, shard_paths
from trainers.data.preparation.statistics import CompileRateTooLow
from trainers.data.sources import FolderSource
from trainers.data.sources.crates import CrateSource
from trainers.data.sources.filters import SourceFilter
from trainers.data.sources.table import TableSource

GOOD = "/// Returns {n} more.\npub fn add_{n}(value: u32) -> u32 {{\n    let sum = value + {n};\n    sum\n}}\n"
ANY = SourceFilter(licenses=None)
QUICK = PreparationSettings(filter=ANY, decontaminate=False, near_duplicates=0)
PROGRAM = """
import os, signal, sys
from pathlib import Path
from trainers.data.preparation import shards, verification
from trainers.data.preparation.prepare import prepare_rows
from trainers.data.preparation.settings import PreparationSettings
from trainers.data.sources import FolderSource
from trainers.data.sources.filters import SourceFilter

write_rows, written = verification.write_rows, []

def killed_at_the_sixth(path, rows):
    written.append(path)
    if len(written) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    write_rows(path, rows)

if __name__ == "__main__":
    shards.SHARD_BYTES = 1
    verification.write_rows = killed_at_the_sixth
    settings = PreparationSettings(filter=SourceFilter(licenses=None), decontaminate=False)
    prepare_rows([FolderSource(Path(sys.argv[1]))], settings, Path(sys.argv[2]), num_workers=1)
"""


@pytest.fixture
def only_rows(monkeypatch):
    """Search for the problems of this package only, which are always there."""
    monkeypatch.delenv("NANOCHAT_DATA", raising=False)
    monkeypatch.setattr("evaluation.suites.problem_files._hub_answers", lambda: False)
    for cached in (inspection.loaded_benchmarks, inspection._contamination):
        cached.cache_clear()
    yield
    for cached in (inspection.loaded_benchmarks, inspection._contamination):
        cached.cache_clear()


@pytest.fixture
def crate(tmp_path):
    """A folder of some Rust files that compile, and one that does not."""
    folder = tmp_path / "code"
    folder.mkdir()
    for number in range(6):
        (folder / f"good_{number}.rs").write_text(GOOD.format(n=number))
    (folder / "bad.rs").write_text("pub fn f() -> u8 { 1; }\n")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a preparation, without those that measure time and the compiler's cache."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "verdicts" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.name != USAGE}


def rows_of(folder: Path, name: str = "rows") -> list[dict]:
    return [row for shard in shard_paths(folder / name) for row in read_rows(shard)]


def write_table(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_have_verdicts_and_rejected_code_is_kept_apart_with_its_fix(crate, tmp_path):
    report = prepare_rows([FolderSource(crate)], QUICK, tmp_path / "out", num_workers=1)
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 6 and {row["status"] for row in rows} == {"valid"}
    assert {row["mix"] for row in rows} == {"verified_examples"}
    (negative,) = rows_of(tmp_path / "out", "negatives")
    assert negative["error_codes"] == ["E0308"] and negative["fixed_code"] == "pub fn f() -> u8 { 1 }\n"
    assert report == read_report(tmp_path / "out")
    assert report["verification"]["code"]["compile_rate"] == 6 / 7
    assert all(table.row_count or not report["crates"] for table in report_tables(report, Usage()))


@pytest.mark.slow
def test_equal_inputs_give_equal_bytes_with_any_number_of_workers(crate, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.data.preparation.shards.SHARD_BYTES", 1)
    for workers in (1, 2):
        prepare_rows([FolderSource(crate)], QUICK, tmp_path / f"out_{workers}", num_workers=workers)
    assert contents(tmp_path / "out_1") == contents(tmp_path / "out_2")


def test_a_killed_preparation_continues_to_the_same_bytes(crate, tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    # Between the rows and the negatives of the third shard.
    assert subprocess.run([sys.executable, program, crate, killed]).returncode == -signal.SIGKILL
    assert len(list((killed / "rows").iterdir())) == 3 and len(list((killed / "outcomes").iterdir())) == 2
    monkeypatch.setattr("trainers.data.preparation.shards.SHARD_BYTES", 1)
    for folder in (killed, whole):
        settings = PreparationSettings(filter=ANY, decontaminate=False)
        prepare_rows([FolderSource(crate)], settings, folder, num_workers=1)
    assert contents(killed) == contents(whole)


def test_a_changed_input_is_named_instead_of_mixed_with_former_rows(crate, tmp_path):
    prepare_rows([FolderSource(crate)], QUICK, tmp_path / "out", num_workers=1)
    before = contents(tmp_path / "out")
    (crate / "new.rs").write_text("pub fn new() {}\n")
    with pytest.raises(ValueError, match="(?s)other inputs.*sources.0 code"):
        prepare_rows([FolderSource(crate)], QUICK, tmp_path / "out", num_workers=1)
    assert contents(tmp_path / "out") == before


def test_a_source_below_the_minimum_compile_rate_stops_everything(tmp_path):
    rows = [{"code": f"pub fn f_{n}() -> u8 {{ {n} as char }}", "path": f"{n}.rs"} for n in range(8)]
    source = TableSource(write_table(tmp_path / "web.jsonl", rows), license="MIT")
    settings = PreparationSettings(filter=ANY, decontaminate=False, min_compile_rate=0.8, verify_every_n_examples=4)
    with pytest.raises(CompileRateTooLow, match=r"source web .* 0 of 4 judged rows \(0.0%\)"):
        prepare_rows([source], settings, tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out" / REPORT).exists()


def test_planted_copies_near_copies_and_licenses_are_left_out_by_name(tmp_path):
    code = Path(__file__).read_text()  # any long text: nothing is compiled
    original = "\n".join(f"pub fn f_{n}(value: u32) -> u32 {{ value + {n} }}" for n in range(60))
    near = original.replace("f_30(value", "f_31a(value")
    rows = [
        {"code": original, "path": "a.rs", "license": "MIT"},
        {"code": original.replace("\n", "\n\n"), "path": "copy.rs", "license": "MIT"},
        {"code": near, "path": "near.rs", "license": "MIT"},
        {"code": "pub struct Gpl;", "path": "gpl.rs", "license": "GPL-3.0-only"},
        {"code": code, "path": "other.rs", "license": "Apache-2.0"},
    ]
    source = TableSource(write_table(tmp_path / "web.jsonl", rows))
    settings = PreparationSettings(decontaminate=False, verify=False)
    report = prepare_rows([source], settings, tmp_path / "out", num_workers=1)
    assert [row["path"] for row in rows_of(tmp_path / "out")] == ["a.rs", "other.rs"]
    left_out = " ".join(report["read"]["00-web"]["left_out"])
    assert "copy" in left_out and "GPL-3.0-only" in left_out
    assert report["dropped"] == {"near-duplicate (web)": 1}


def test_without_verification_nothing_counts_as_verified(crate, tmp_path):
    settings = PreparationSettings(filter=ANY, decontaminate=False, verify=False)
    prepare_rows([FolderSource(crate)], settings, tmp_path / "out", num_workers=1)
    assert {row["mix"] for row in rows_of(tmp_path / "out")} == {"high_quality_rust"}


def test_a_folder_with_other_files_is_left_alone(crate, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        prepare_rows([FolderSource(crate)], QUICK, tmp_path / "out", num_workers=1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_full_disk_is_named_and_nothing_half_written_counts(crate, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large: .*documents"):
            prepare_rows([FolderSource(crate)], QUICK, tmp_path / "out", num_workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()] == [INPUTS]
    assert prepare_rows([FolderSource(crate)], QUICK, tmp_path / "out", num_workers=1)["rows"] == 6


@pytest.mark.slow
def test_planted_benchmark_text_is_left_out_with_the_problem_it_is_of(tmp_path, only_rows):
    (problem, *_) = [each for each in SUITE_PROBLEMS["compile-rate"](None) if "fn is_palindrome" in each.asked]
    rows = [{"code": code, "path": f"{n}.rs"} for n, code in enumerate([problem.texts[0], "pub struct Own;"])]
    source = TableSource(write_table(tmp_path / "web.jsonl", rows))
    settings = PreparationSettings(filter=ANY, verify=False)
    report = prepare_rows([source], settings, tmp_path / "out", num_workers=1)
    assert [row["code"] for row in rows_of(tmp_path / "out")] == ["pub struct Own;"]
    assert report["dropped"] == {"benchmark (web)": 1}
    assert "compile-rate is_palindrome" in (tmp_path / "out" / "dropped.json").read_text()
    assert "left out: 1 of 2 documents (50.00%)" in benchmark_lines(report)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda folder: FolderSource(folder), "folder must be a folder with files"),
        (lambda folder: TableSource(folder), "table must be a folder with files"),
        (lambda folder: CrateSource(folder), "crates must be a folder with files"),
        (
            lambda folder: TableSource(write_table(folder / "a.jsonl", [{"text": ""}]), {"code": "body"}),
            "code must be a column of .*text.*body",
        ),
        (lambda folder: FolderSource(binary(folder)), "folder must hold .rs files in UTF-8"),
    ],
    ids=["folder", "table", "crates", "column", "binary"],
)
def test_a_source_that_cannot_be_read_is_refused_before_anything_is_written(tmp_path, make, message):
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match=message):
        prepare_rows([make(tmp_path / "in")], QUICK, tmp_path / "out", num_workers=1)
    assert not (tmp_path / "out").exists()


def binary(folder: Path) -> Path:
    (folder / "a.rs").write_bytes(bytes(range(256)))
    return folder


def test_a_binary_file_is_counted_and_left_out(crate, tmp_path):
    binary(crate)
    report = prepare_rows([FolderSource(crate)], QUICK, tmp_path / "out", num_workers=1)
    assert report["rows"] == 6 and report["read"]["00-code"]["left_out"] == {"that cannot be read as UTF-8": 1}


def test_the_files_of_a_crate_that_compiles_are_verified_if_the_compiler_read_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    used = {"src/used.rs": "use crate::Kind;\npub fn kind() -> Kind { Kind }\n", "src/unused.rs": "use crate::Kind;\n"}
    write_crate(tmp_path / "vendor", "good", "pub struct Kind;\nmod used;\npub use used::kind;\n", files=used)
    write_crate(
        tmp_path / "vendor", "bad", "mod part;\npub fn f() -> u8 { 1.0 }\n", files={"src/part.rs": "use crate::f;"}
    )
    report = prepare_rows([CrateSource(tmp_path / "vendor")], QUICK, tmp_path / "out", num_workers=1)
    found = {row["path"]: (row["mix"], row["verdict"]["by"]) for row in rows_of(tmp_path / "out")}
    assert found == {
        "good-1.0.0/src/lib.rs": ("verified_examples", "crate"),
        "good-1.0.0/src/used.rs": ("verified_examples", "crate"),
        "good-1.0.0/src/unused.rs": ("high_quality_rust", "alone"),
    }
    assert report["verification"]["crates"]["reasons"]["its crate does not compile"] == 2


def test_a_prepared_data_set_is_shown(crate, tmp_path, capsys):
    prepare_rows([FolderSource(crate, "MIT")], QUICK, tmp_path / "out", num_workers=1)
    assert main(["inspect", str(tmp_path / "out"), "--rows", "1", "--output", str(tmp_path / "page.md")]) == 0
    assert "pub fn add_" in capsys.readouterr().out
    assert "| code | 7 | 6 | 0 | 1 | 0 | 0 | 85.7% | types 1 |" in (tmp_path / "page.md").read_text()


def test_a_folder_without_a_preparation_is_named(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) != 0
    assert "must be the folder of a prepared data set or of a run" in capsys.readouterr().err


def test_the_report_of_a_training_is_not_taken_for_that_of_the_data(crate, tmp_path):
    corpus = tmp_path / "run" / "prepare" / "corpus"
    prepare_rows([FolderSource(crate)], replace(QUICK, verify=False), corpus, num_workers=1)
    (tmp_path / "run" / REPORT).write_text('{"held_out_loss": {}}')
    assert find_corpus(tmp_path / "run") == corpus
    (corpus / REPORT).unlink()
    with pytest.raises(ValueError, match="holds a preparation that is not finished; continue it with --resume"):
        find_corpus(tmp_path / "run")


def test_paths_with_brackets_are_shown_as_they_are(tmp_path, capsys):
    source = TableSource(write_table(tmp_path / "web.jsonl", [{"code": "pub fn f() {}", "path": "[/b]/[id].rs"}]))
    prepare_rows([source], replace(QUICK, verify=False), tmp_path / "out", num_workers=1)
    assert main(["inspect", str(tmp_path / "out")]) == 0
    assert "web [/b]/[id].rs (" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "out"), "--rows", "-1"]) != 0
    assert "rows must be at least 0, got -1" in capsys.readouterr().err


def test_a_damaged_file_is_named_with_its_line(crate, tmp_path, capsys):
    prepare_rows([FolderSource(crate)], replace(QUICK, verify=False), tmp_path / "out", num_workers=1)
    (shard,) = shard_paths(tmp_path / "out" / "rows")
    shard.write_bytes(shard.read_bytes()[:-20])
    assert main(["inspect", str(tmp_path / "out")]) != 0
    assert f"{shard}, line 7 is damaged" in capsys.readouterr().err
    (tmp_path / "out" / REPORT).write_text("{")
    assert main(["inspect", str(tmp_path / "out")]) != 0
    assert f"{tmp_path / 'out' / REPORT} is damaged" in capsys.readouterr().err


def test_a_second_preparation_in_one_process_does_not_use_what_the_first_left_out(tmp_path):
    code = "\n".join(f"pub fn f_{n}(value: u32) -> u32 {{ value + {n} }}" for n in range(60))
    rows = [{"code": code, "path": "a.rs"}, {"code": code.replace("f_30(value", "g(value"), "path": "near.rs"}]
    source = TableSource(write_table(tmp_path / "web.jsonl", rows))
    kept = []
    for near_duplicates in (0.8, 0):
        settings = replace(QUICK, verify=False, near_duplicates=near_duplicates)
        kept.append(prepare_rows([source], settings, tmp_path / "out", num_workers=1)["rows"])
        shutil.rmtree(tmp_path / "out")
    assert kept == [1, 2]


def test_a_source_of_copies_adds_nothing_and_stops_nothing(crate, tmp_path, capsys):
    rows = [{"code": GOOD.format(n=0).replace("    ", "\t"), "path": "a.rs"}]
    sources = [FolderSource(crate), TableSource(write_table(tmp_path / "copies.jsonl", rows))]
    assert prepare_rows(sources, QUICK, tmp_path / "out", num_workers=1)["rows"] == 6
    assert "Source copies adds nothing" in capsys.readouterr().out
