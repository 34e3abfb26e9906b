"""Other forms of comments: repetitions describe the same function otherwise, and remain the same program."""

import pytest

from evaluation.rust import RustVerifier
from trainers.data.mix import MixedDocument
from trainers.data.other_comments import FORMS, rewrite_comments, with_other_comments
from trainers.data.sources import Document

CODE = """/// Doubles `a`.
///
/// For example, `double(2)` returns 4.
pub fn double(a: u32) -> u32 {
    2 * a
}

mod inner {
    /// Halves `a`.
    pub fn half(a: u32) -> u32 {
        a / 2
    }
}
"""


def mixed(source: str, repetition: int) -> MixedDocument:
    return MixedDocument(Document.of(source, "double", "file", "MIT", CODE), source, repetition)


def test_a_block_comment_keeps_the_text_and_the_indentation():
    assert rewrite_comments(CODE, "block") == (
        CODE.replace("/// Doubles `a`.\n///\n/// For example,", "/*\nDoubles `a`.\n\nFor example,")
        .replace("returns 4.\n", "returns 4.\n*/\n")
        .replace("    /// Halves `a`.\n", "    /*\n    Halves `a`.\n    */\n")
    )


def test_a_shortened_comment_has_no_example():
    assert rewrite_comments(CODE, "line", shorten=True).startswith("// Doubles `a`.\npub fn double")
    assert rewrite_comments(CODE, "doc") == CODE


def test_a_text_that_would_end_a_block_comment_stays_in_lines():
    code = "/// Returns `a */ b`.\nfn f() {}\n"
    assert rewrite_comments(code, "block") == code.replace("///", "//")


@pytest.mark.parametrize("form", FORMS)
def test_programs_with_other_comments_compile(form):
    with RustVerifier() as verifier:
        assert all(verdict.ok for verdict in verifier.verify([rewrite_comments(CODE, form, s) for s in (False, True)]))


def test_repetitions_of_generated_programs_alone_have_other_forms():
    given = [mixed("tasks", number) for number in range(20)] + [mixed("real", 1)]
    codes = [each.document.code for each in with_other_comments(given)]
    assert codes[0] == codes[-1] == CODE, "the first reading, and real text"
    assert len(set(codes)) == 2 * len(FORMS)
    assert codes == [each.document.code for each in with_other_comments(given)]
