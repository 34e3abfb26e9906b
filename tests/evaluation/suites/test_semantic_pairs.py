"""The minimal pairs are what their templates say, rustc judges them so, and nothing on their surface decides."""

import gzip
import json

import pytest

from evaluation.rust import RustVerifier
from evaluation.suites.semantic.baselines import TokenCounts, accuracy, baselines
from evaluation.suites.semantic.pairs import (
    CATEGORIES,
    EDITION,
    FILE,
    MAX_DIFFERING_TOKENS,
    credit,
    pairs_as_text,
    read_pairs,
)
from evaluation.suites.semantic.templates import FOLDER, Form, all_pairs, read_forms
from evaluation.suites.semantic.write_data import count_tokens, faults
from evaluation.text_files import read_text

PAIRS = read_pairs()
SCORES = baselines(TokenCounts.read())


def test_the_data_are_what_the_templates_make():
    assert read_text(FILE) == pairs_as_text(all_pairs())


def test_every_category_has_many_pairs_of_many_templates():
    for category in CATEGORIES:
        chosen = [pair for pair in PAIRS if pair.category == category]
        assert len(chosen) >= 60 and len({pair.template for pair in chosen}) >= 12
    programs = [program for pair in PAIRS for program in (pair.valid, pair.invalid)]
    assert len(set(programs)) == len(programs) and len({pair.name for pair in PAIRS}) == len(PAIRS)


def test_a_pair_differs_in_few_tokens():
    assert max(pair.differing_tokens() for pair in PAIRS) <= MAX_DIFFERING_TOKENS


@pytest.mark.parametrize("category", [*CATEGORIES, ""])
@pytest.mark.parametrize("name", SCORES)
def test_length_and_frequency_are_right_half_of_the_time(name, category):
    chosen = [pair for pair in PAIRS if category in ("", pair.category)]
    assert 0.42 <= accuracy(SCORES[name], chosen) <= 0.58


def test_tokens_are_counted_in_every_text_of_the_corpus(tmp_path):
    rows = ("fn main() { let a = 1; }", "// let\nlet b = a;")
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt") as corpus:
        corpus.writelines(json.dumps({"text": text}) + "\n" for text in rows)
    found = count_tokens(tmp_path / "corpus.jsonl.gz", PAIRS[:1])
    assert (found.total, found.distinct) == (16, 12)
    assert (found.counts["let"], found.counts["main"], found.counts["println"]) == (2, 1, 0)
    assert found.log_probability("let") > found.log_probability("println")


def test_equal_scores_count_half():
    assert (credit(0.1 + 0.2 - 0.3), credit(0.01), credit(-0.01)) == (0.5, 1, 0)


def test_rustc_accepts_the_first_program_and_rejects_the_second_one():
    """Every ninth pair; the slow test below has all of them."""
    with RustVerifier(EDITION) as verifier:
        assert faults(PAIRS[::9], verifier) == []


@pytest.mark.slow
def test_rustc_judges_every_pair_as_its_template_says():
    with RustVerifier(EDITION) as verifier:
        assert faults(PAIRS, verifier) == []


def test_a_pair_that_rustc_judges_otherwise_is_named():
    good = next(pair for pair in PAIRS if pair.name == "ownership_transfer/binding.used_afterwards/1")
    form = next(read_forms(FOLDER / "ownership_transfer.txt"))
    (turned, *_) = Form(form.category, "turned.around", form.codes, form.slots, _turned(form.program)).pairs()
    with RustVerifier(EDITION) as verifier:
        assert faults([good], verifier) == []
        first, second = faults([turned], verifier)
    assert first == "ownership_transfer/turned.around/1: must compile, got semantic_error, E0382"
    assert second == "ownership_transfer/turned.around/1: must fail with E0382, got "


def _turned(program: str) -> str:
    return program.replace("«&»«»", "«»«&»")


def test_every_code_of_a_category_occurs_in_it():
    for category, codes in CATEGORIES.items():
        assert {code for form in read_forms(FOLDER / f"{category}.txt") for code in form.codes} == codes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": ("E0133",)}, "trait_bounds/a.b must have error codes of its category, got E0133"),
        ({"codes": ()}, "trait_bounds/a.b must have error codes of its category, got none"),
        ({"program": "fn main() {}"}, "trait_bounds/a.b must differ in one place, got 0"),
        ({"program": "«a»«b» «a»«b»"}, "trait_bounds/a.b must differ in one place, got 2"),
        ({"slots": {"x": ("a",), "y": ("a", "b")}}, "trait_bounds/a.b must have as many values for each slot"),
    ],
)
def test_a_template_with_a_fault_is_named(change, message):
    fields = {"codes": ("E0277",), "slots": {"x": ("a",)}, "program": "$x «a»«b»"} | change
    with pytest.raises(ValueError, match=message):
        Form("trait_bounds", "a.b", **fields)
