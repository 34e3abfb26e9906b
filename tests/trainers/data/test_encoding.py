"""The fast encoder gives the token ids of the tokenizer itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from tests.helpers.paths import BUILTIN
from trainers.data import encoding
from trainers.data.encoding import TextEncoder, tokenizer_sha256
from trainers.data.tokenizer import train_tokenizer

TEXTS = [path.read_text() for path in sorted(BUILTIN.glob("*.rs"))]
# Where words end: white space of all kinds, contractions, digits and letters beyond ASCII, control characters.
CORNERS = st.sampled_from(
    ["a", "Z", "9", "_", "'", "'s", "'ll", " ", "  ", "\n", "\r\n", "\t", "\x0b", "\x1c", "\x1f", "\x85", "\xa0"]
    + ["é", "½", "٣", "漢", "\u2028", "\u3000", "\u200b", "😀", "\0", "<|eos|>", ";", "//", "́", "ſ"]
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 400, 64)


@pytest.fixture(scope="module")
def digits():
    """A tokenizer with each digit for itself, as that of SmolLM2."""
    tokenizer = train_tokenizer(TEXTS, 400, 64)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), words])
    return tokenizer


def ids_of(tokenizer, texts):
    settings = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    return [tokenizer(text, **settings)["input_ids"] for text in texts]


def encoded(tokenizer, texts):
    encoder = TextEncoder(tokenizer)
    return [np.frombuffer(tokens, encoder.dtype).tolist() for tokens in encoder.encode(texts)]


@settings(max_examples=300)
@given(st.lists(st.one_of(st.lists(CORNERS, max_size=12).map("".join), st.text(max_size=30)), max_size=4))
def test_any_text_has_the_tokenizers_ids(tokenizer, digits, texts):
    assert encoded(tokenizer, texts) == ids_of(tokenizer, texts)
    assert encoded(digits, texts) == ids_of(digits, texts)


def test_programs_have_the_tokenizers_ids_though_words_are_forgotten(tokenizer, monkeypatch):
    monkeypatch.setattr(encoding, "MAX_CACHE_BYTES", 5000)
    encoder = TextEncoder(tokenizer)
    for text, expected in zip(TEXTS, ids_of(tokenizer, TEXTS), strict=True):
        assert np.frombuffer(encoder.encode([text])[0], encoder.dtype).tolist() == expected


@pytest.mark.parametrize("kind", ["other words", "added tokens", "truncation"])
def test_other_tokenizers_are_not_split_by_the_pattern_of_this_one(kind):
    tokenizer = train_tokenizer(TEXTS, 400, 64)
    expected = ids_of(tokenizer, TEXTS)
    if kind == "other words":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        expected = ids_of(tokenizer, TEXTS)
    elif kind == "added tokens":
        tokenizer.add_tokens(["fn ma"])
        expected = ids_of(tokenizer, TEXTS)
    else:
        tokenizer.backend_tokenizer.enable_truncation(5)
    assert encoded(tokenizer, TEXTS) == expected


def test_a_tokenizer_without_ends_of_documents_is_refused(tokenizer):
    bare = train_tokenizer(TEXTS, 400, 64)
    bare.eos_token = None
    with pytest.raises(ValueError, match="the tokenizer must have a eos_token, got none"):
        TextEncoder(bare)


def test_the_hash_of_a_tokenizer_is_that_of_its_ids(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    assert tokenizer_sha256(type(tokenizer).from_pretrained(tmp_path)) == tokenizer_sha256(tokenizer)
    assert tokenizer_sha256(train_tokenizer(TEXTS, 401, 64)) != tokenizer_sha256(tokenizer)
