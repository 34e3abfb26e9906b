"""A teacher has the student's tokenizer, or is refused in one sentence."""

import json

import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from tests.helpers.teachers import rust_tokenizer
from trainers.distillation.vocabulary import check_vocabulary


def changed(tokenizer: PreTrainedTokenizerFast, change) -> PreTrainedTokenizerFast:
    values = json.loads(tokenizer.backend_tokenizer.to_str())
    change(values)
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(values)))


def swap_ids(values: dict) -> None:
    vocabulary = values["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]


def swap_merges(values: dict) -> None:
    merges = values["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]


def lowercase(values: dict) -> None:
    values["normalizer"] = {"type": "Lowercase"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_ids, "the token 'b' is id .* there and id .* here|the token 'a' is id .* there and id .* here"),
        (swap_merges, "its merges are other ones"),
        (lowercase, "it encodes a probe text into other ids"),
    ],
)
def test_other_ids_merges_or_words_are_refused(change, message):
    student = rust_tokenizer()
    with pytest.raises(ValueError, match=message):
        check_vocabulary(changed(student, change), student, "teacher")


def test_a_token_more_is_refused_with_its_name():
    student, teacher = rust_tokenizer(), rust_tokenizer()
    teacher.add_tokens(["<chat>"])
    message = "teacher 'name' must have the student's tokenizer.*'<chat>' is id 300 there and missing here"
    with pytest.raises(ValueError, match=message):
        check_vocabulary(teacher, student, "name")


def test_an_equal_tokenizer_is_accepted():
    check_vocabulary(rust_tokenizer(), rust_tokenizer(), "teacher")
