"""The text of tokens that come one after the other, and stop strings in it."""

import pytest

from model_cards.serving.generated_text import StoppedText, TokenText
from tests.helpers.gguf_models import TOKENIZER

TEXT = "größer 日本 🦀 \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}. fn f() {}\n"


def decode(ids: list[int]) -> str:
    text = TOKENIZER.decode(ids)
    assert isinstance(text, str)
    return text


def ids_of(text):
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def test_characters_come_whole_and_their_text_is_that_of_all_tokens():
    text = TokenText(decode)
    pieces = [text.add(token) for token in ids_of(TEXT)]
    assert "".join(pieces) + text.end() == TEXT
    assert {"ö", "ß", "日", "本", "🦀"} <= {character for piece in pieces for character in piece}


def test_bytes_that_are_no_character_become_one_and_an_incomplete_end_is_dropped():
    ids = ids_of("a🦀")[:-1] + ids_of("b🦀")[:-1]
    text = TokenText(decode)
    pieces = [text.add(token) for token in ids]
    whole = decode(ids)
    assert whole.count("\N{REPLACEMENT CHARACTER}") == 2
    assert "".join(pieces) + text.end() == whole.removesuffix("\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize("size", [1, 2, 3, 50])
@pytest.mark.parametrize(
    "stops, expected",
    [
        (["}"], "fn f() { a == b; "),
        (["== b"], "fn f() { a "),
        (["b; }", " a"], "fn f() {"),
        (["=="], "fn f() { a "),
        (["missing", "}}"], "fn f() { a == b; } x"),
        ([" x."], "fn f() { a == b; } x"),
    ],
)
def test_nothing_from_a_stop_string_on_is_shown_however_the_text_is_cut(stops, expected, size):
    whole = "fn f() { a == b; } x"
    text = StoppedText(stops)
    shown = ""
    for start in range(0, len(whole), size):
        shown += text.add(whole[start : start + size])
        assert expected.startswith(shown)
        if text.stopped:
            break
    assert shown + text.end() == expected
    assert text.stopped == (expected != whole)
