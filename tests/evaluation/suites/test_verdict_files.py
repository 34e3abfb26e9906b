"""The file of verdicts holds what a reader of the code needs, in lines of bounded size."""

import json

from evaluation.rust.verdict import NOT_REACHED, Diagnostic, Verdict
from evaluation.suites.program_suite import MAX_DIAGNOSTICS, MAX_PROGRAM, MAX_RENDERED, write_verdicts


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_sample_has_its_program_and_the_places_of_its_errors(tmp_path):
    diagnostic = Diagnostic("E0382", "ownership", "use of moved value: `a`", 3, 5, "error[E0382]: ...")
    verdicts = [[Verdict("valid", NOT_REACHED), Verdict("semantic_error", NOT_REACHED, (diagnostic,))]]
    write_verdicts(["one"], verdicts, tmp_path / "v.jsonl", [["fn a() {}", "fn b() {}"]])
    first, second = lines(tmp_path / "v.jsonl")
    assert (first["program"], first["diagnostics"]) == ("fn a() {}", [])
    assert second["program"] == "fn b() {}" and second["diagnostics"] == [
        {
            "code": "E0382",
            "message": "use of moved value: `a`",
            "line": 3,
            "column": 5,
            "rendered": "error[E0382]: ...",
        }
    ]


def test_without_programs_the_lines_have_none(tmp_path):
    write_verdicts(["one"], [[Verdict("valid", NOT_REACHED)]], tmp_path / "v.jsonl")
    assert "program" not in lines(tmp_path / "v.jsonl")[0]


def test_a_line_is_bounded_however_much_the_compiler_says(tmp_path):
    diagnostics = tuple(Diagnostic(None, "syntax", "m" * 10_000, 1, 1, "r" * 5_000) for _ in range(500))
    verdicts = [[Verdict("invalid_syntax", NOT_REACHED, diagnostics)]]
    write_verdicts(["one"], verdicts, tmp_path / "v.jsonl", [["p" * 1_000_000]])
    (found,) = lines(tmp_path / "v.jsonl")
    assert len(found["program"]) == MAX_PROGRAM and len(found["diagnostics"]) == MAX_DIAGNOSTICS
    assert sum(len(each["rendered"]) for each in found["diagnostics"]) == MAX_RENDERED
