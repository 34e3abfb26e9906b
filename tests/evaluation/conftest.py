"""A small model and its tokenizer for the tests of evaluation."""

import pytest

from tests.helpers.paths import BUILTIN
from tests.helpers.tiny import tiny_model
from trainers.data.tokenizer import train_tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer([path.read_text() for path in sorted(BUILTIN.glob("*.rs"))], 300, 256)


@pytest.fixture(scope="module")
def model():
    return tiny_model(vocab_size=300, eos_token_id=2, pad_token_id=0)
