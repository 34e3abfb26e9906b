"""Repetitions of generated programs have names of the real text, and the same meaning."""

from itertools import islice

from evaluation.rust import RustVerifier
from trainers.data.mix import MixedDocument
from trainers.data.other_names import BYTES_READ, LARGEST_TEXT, names_of, with_other_names
from trainers.data.rewriting.renaming import canonical
from trainers.data.sources import Document
from trainers.data.synthetic.stream import choose_families, draw_samples

NAMES = [f"price_{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
TASK = """\
/// Returns the sum of `values` that are above `limit`.
fn sum_above(values: &[i64], limit: i64) -> i64 {
    values.iter().filter(|&&value| value > limit).sum()
}
"""


def document(code, source="tasks", path=""):
    return Document.of(source, path, "file", "MIT", code)


def repetition(code, number, source="tasks", names=NAMES, seed=0):
    mixed = MixedDocument(document(code, source), source, number)
    return next(with_other_names([mixed], names, seed)).document.code


def test_the_first_reading_and_real_text_keep_their_names():
    assert repetition(TASK, 0) == TASK
    assert repetition(TASK, 1, source="std-sources") == TASK
    assert repetition(TASK, 1, names=[]) == TASK


def test_every_repetition_has_other_names_which_its_description_has_too():
    first, second = repetition(TASK, 1), repetition(TASK, 2)
    assert first != second
    for code in (first, second):
        assert canonical(code) == canonical(TASK)
        assert "values" not in code and "limit" not in code
        head = code.split("\n")[0]
        assert head.count("`price_") == 2


def test_names_depend_on_the_seed_and_on_nothing_else():
    assert repetition(TASK, 1) == repetition(TASK, 1)
    assert repetition(TASK, 1) != repetition(TASK, 1, seed=1)


def test_a_program_that_has_all_names_keeps_its_own():
    assert repetition(TASK, 1, names=["values", "limit", "value", "sum"]) == TASK


def test_names_come_from_parameters_and_variables_of_two_texts():
    one = "fn area(width: u32, height: u32) -> u32 { let product = width * height; product }\n"
    other = "fn scale(width: u32, u32: u8, _skipped: u8) { let product = width; }\n"
    third = "fn rest(u32: u8, _skipped: u8, the_name_of_a_parameter: u8) {}\n"
    fourth = "fn more(the_name_of_a_parameter: u8) {}\n"
    assert names_of(map(document, [one, other, third, fourth])) == ["product", "width"]


def test_text_that_is_large_or_does_not_parse_gives_no_names_and_reading_ends():
    large = "fn f(counted: u8) {}\n" + "// \n" * (LARGEST_TEXT // 4)
    assert names_of([document(large), document(large), document("fn f(counted: "), document("fn (")]) == []
    asked = 0

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield document("fn f(counted: u8) {}\n" + "// \n" * (LARGEST_TEXT // 5))

    assert names_of(endless()) == ["counted"]
    assert asked <= 2 * BYTES_READ / LARGEST_TEXT


def test_renamed_programs_compile_and_pass_their_tests():
    names = ["count", "index", "data", "result", "node", "drop", "print", "iter", "len", "map", "text", "max", "from"]
    samples = list(islice(draw_samples(choose_families(), 3), 24))
    renamed = [repetition(sample.code, 1, "synthetic", names) for sample in samples]
    assert sum(new != sample.code for new, sample in zip(renamed, samples, strict=True)) >= 20
    with RustVerifier(run_timeout=5.0, own_programs=True) as verifier:
        verdicts = verifier.verify(renamed, [sample.tests for sample in samples], trusted=True)
    for code, verdict in zip(renamed, verdicts, strict=True):
        assert verdict.ok, code
