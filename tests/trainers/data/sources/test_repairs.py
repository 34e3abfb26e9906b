"""Rejected programs with a fixed version become documents in the format of the suite repair."""

import json

import pytest

from evaluation.rust import RustVerifier
from evaluation.suites.repair_format import message_of, second_prompt
from evaluation.suites.whole_programs import shown_program
from trainers.data.preparation.fixes import fix
from trainers.data.sources import parse_source

BROKEN = ["pub fn f() -> u8 {\n    let x = 1;\n    x = 2;\n    x\n}\n", "pub fn g() -> u8 {\n    unknown\n}\n"]


def test_a_pair_is_a_second_turn_and_a_file_that_compiles(tmp_path):
    with RustVerifier(workers=1) as verifier:
        verdicts = verifier.verify(BROKEN, exact=True)
        fixed = fix(BROKEN, verdicts, verifier)
        assert fixed[0] is not None and fixed[1] is None
        rows = [
            {"code": code, "fixed_code": better, "license": "MIT", "edition": "2021"}
            | {"diagnostics": verdict.to_dict()["diagnostics"]}
            for code, better, verdict in zip(BROKEN, fixed, verdicts, strict=True)
        ]
        (tmp_path / "negatives").mkdir()
        text = "".join(json.dumps(row) + "\n" for row in [*rows, rows[0] | {"code": "//" + "x" * 4000}])
        (tmp_path / "negatives" / "00000.jsonl").write_text(text)
        source = parse_source(f"repairs={tmp_path}")
        source.check()
        (document,) = source.read()
        assert document.code == second_prompt("", BROKEN[0], message_of(verdicts[0])) + fixed[0]
        assert shown_program(document.code).strip() == BROKEN[0].strip()
        assert verifier.verify([document.code])[0].ok
        assert (document.license, document.edition) == ("MIT", "2021")
    assert source.left_out_in_words() == "1 without a version that compiles, 1 of over 4,000 characters"


def test_a_folder_without_such_programs_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"code": "fn f() {}"}\n')
    with pytest.raises(ValueError, match="repairs must be the folder of a data preparation.*without fixed_code"):
        parse_source(f"repairs={tmp_path}").check()
