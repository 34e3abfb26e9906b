"""Safe code that the compiler wrongly accepts is refused by its shape, however it is dressed; honest code is not."""

import tomllib

import pytest

from evaluation.rust import HiddenTests, RustVerifier
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.syntax.analysis import analyze
from tests.helpers.paths import HELPERS
from tests.helpers.stored import needs_data, rows

HOLES = [hack for hack in tomllib.loads((HELPERS / "hacks.toml").read_text())["hack"] if "hole" in hack]
SHOWN = HiddenTests("fn shown() -> bool;", "check!(shown());")
ITEMS = "macro_rules! items {{ ($($i:item)*) => {{ $($i)* }} }}\nitems! {{ {} }}"
STATEMENTS = "fn shown() -> bool {{ macro_rules! all {{ ($b:block) => {{ $b }} }} all!({{ {} shown() }}) }}"


def unsound(code):
    """The reasons that speak of holes."""
    reasons = [refusal.reason for refusal in refusals(code.encode(), SHOWN)]
    return [reason for reason in reasons if reason.endswith(("is not sound", "cannot be checked"))]


def test_the_holes_are_open_in_this_compiler(monkeypatch):
    """Without refusals, each makes a reference of a number, or keeps what is gone."""
    if not find_toolchain().version.startswith("1.95."):
        pytest.skip("the holes are those of rustc 1.95")
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    with RustVerifier(run_timeout=1) as verifier:
        verdicts = verifier.verify([hole["code"] for hole in HOLES], SHOWN)
    closed = {hole["name"]: verdict.status for hole, verdict in zip(HOLES, verdicts, strict=True) if not verdict.ok}
    assert not closed
    assert len({hole["hole"] for hole in HOLES}) >= 13


@pytest.mark.parametrize(
    "dress", ["{}", "mod inner {{ {} }}", ITEMS, STATEMENTS], ids=["bare", "mod", "items", "block"]
)
def test_every_hole_is_refused_however_it_is_dressed(dress):
    assert [hole["name"] for hole in HOLES if not unsound(dress.format(hole["code"]))] == []


def test_what_is_hidden_too_deep_in_macros_is_refused():
    code = f"fn shown() -> bool {{ let v = {'vec![' * 100}{'1, ' * 1000}{']' * 100}; v.is_empty() }}"
    assert [refusal.reason for refusal in refusals(code.encode())] == ["has nested macros that are too large to check"]


@needs_data
def test_no_honest_solution_has_the_shape_of_a_hole():
    codes = [row["declaration"] + row["canonical_solution"] for row in rows("humaneval_rust")]
    codes += [row["gpt4_reference"] for row in rows("humaneval_rust_multiple") if row["gpt4_reference"]]
    codes += [code for row in rows("exercism_rust") for code in row["example"].values()]
    codes += [row["code"] for row in rows("rust_by_example") if row["rustc_pass"]]
    assert [code for code in codes if not analyze(code).has_error and unsound(code)] == []
