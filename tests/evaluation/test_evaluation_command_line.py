"""`python -m evaluation` says what it found, in words and in its exit status."""

import io
import json
import os
import subprocess
import sys

import pytest

from evaluation.__main__ import main
from evaluation.command_line import problem_files
from evaluation.rust.verdict import Verdict

GOOD = "pub fn f() {}\n"
MOVED = "pub fn f(s: String) -> String {\n    drop(s);\n    s\n}\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.rs").write_text(GOOD)
    (tmp_path / "moved.rs").write_text(MOVED)
    return tmp_path


def test_valid_files_are_a_success(files, capsys):
    assert main(["verify", str(files / "good.rs")]) == 0
    assert "1 valid; rustc" in capsys.readouterr().out


def test_one_bad_file_is_a_failure_with_the_compilers_words_at_the_files_name(files, capsys):
    assert main(["verify", str(files / "good.rs"), str(files / "moved.rs")]) == 1
    out = capsys.readouterr().out
    assert "error[E0382]: use of moved value: `s`" in out and "moved.rs:3:5" in out
    assert "semantic_error" in out and "ownership" in out


def test_json_lines_hold_whole_verdicts(files, capsys):
    assert main(["verify", "--json", str(files / "good.rs"), str(files / "moved.rs")]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record.pop("file") for record in records] == [str(files / "good.rs"), str(files / "moved.rs")]
    assert [Verdict.from_dict(record).status for record in records] == ["valid", "semantic_error"]


def test_standard_input_is_a_file_too(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(MOVED.encode())))
    assert main(["verify", "-"]) == 1
    assert "E0382" in capsys.readouterr().out


def test_the_edition_is_an_option(tmp_path, capsys):
    (tmp_path / "old.rs").write_text("pub fn f() { let async = 1; let _ = async; }")
    assert main(["verify", "--edition", "2015", str(tmp_path / "old.rs")]) == 0
    assert main(["verify", str(tmp_path / "old.rs")]) == 1


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["verify", "no-such-file.rs"], "no-such-file.rs: No such file"),
        (["verify", "--num-workers", "0", "good.rs"], "workers must be an integer of at least 1, got 0"),
        (["verify", "--timeout", "-1", "good.rs"], "timeout must be a positive"),
    ],
)
def test_wrong_input_ends_with_one_line(files, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(files)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and captured.out == ""


def test_a_missing_compiler_is_said_not_counted(files, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    finished = subprocess.run(
        [sys.executable, "-m", "evaluation", "verify", str(files / "good.rs")],
        env={**os.environ, "PATH": str(empty)},
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 2
    assert "rustup.rs" in finished.stderr and "Traceback" not in finished.stderr


def test_the_verifier_needs_no_learning_library():
    """Anyone who trains on Rust may take just this part: it starts in a moment."""
    script = "import sys, evaluation.rust; print(sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.slow
def test_the_doctor_reports_every_attempt(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for words in ("compiler", "sandbox", "a fork bomb ends", "no UDP packet", "Not covered at any level"):
        assert words in out
    assert "BROKEN" not in out


@pytest.mark.parametrize(
    "given, suites, expected",
    [
        (["a.jsonl"], ["multipl-e-rust"], {"multipl-e-rust": "a.jsonl"}),
        (["a.jsonl", "multipl-e-rust=b.jsonl"], ["all"], {"humaneval-rust": "a.jsonl", "multipl-e-rust": "b.jsonl"}),
        (["x=1/a.jsonl"], ["compile-rate", "perplexity"], {"compile-rate": "x=1/a.jsonl"}),
        ([], ["all"], {}),
    ],
)
def test_a_file_of_problems_belongs_to_the_suite_it_names_or_the_first(given, suites, expected):
    assert {name: str(path) for name, path in problem_files(given, suites).items()} == expected


@pytest.mark.parametrize("command", [[], ["run"], ["compare"], ["report"], ["verify"], ["doctor"]])
def test_every_option_is_explained(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0 and "usage" in capsys.readouterr().out
