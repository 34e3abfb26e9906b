"""Tokens of a completion have the loop after which they left, and their characters join to the completion."""

import json
from dataclasses import asdict

import pytest

from evaluation.generate import Prompt, Sample, generate
from evaluation.generation_settings import GenerationSettings
from evaluation.token_loops import token_loops, within


def loops_of(tokenizer, text, skipped=0):
    """Tokens of a text, of which the first one left after loop 4 and the others after loops 1 and 2 in turn."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    loops = [4, *(1 + number % 2 for number in range(len(ids) - 1))]
    return ids, token_loops(tokenizer, ids, [*loops, 0, 0], text[skipped:])


@pytest.mark.parametrize("text", ["fn f() { 1 }", 'let grüße = "日本語 🦀"; // ß', "\n\n    }\n"])
def test_the_characters_of_all_tokens_join_to_the_text(tokenizer, text):
    ids, found = loops_of(tokenizer, text)
    assert sum(length for length, _ in found) == len(text) and len(found) == len(ids)
    assert [loop for _, loop in found[:3]] == [4, 1, 2]


def test_a_text_that_begins_within_a_token_has_the_rest_of_it(tokenizer):
    ids, found = loops_of(tokenizer, "fn add() { 1 + 2 }", skipped=4)
    assert found is not None
    assert sum(length for length, _ in found) == len("fn add() { 1 + 2 }") - 4 and len(found) < len(ids)


def test_a_text_that_ends_within_a_character_is_covered_up_to_it(tokenizer):
    ids = tokenizer("x 🦀", add_special_tokens=False)["input_ids"][:-1]
    text = tokenizer.decode(ids)
    found = token_loops(tokenizer, ids, [2, *[1] * (len(ids) - 1)], text)
    assert found is not None
    assert text.endswith("\N{REPLACEMENT CHARACTER}") and sum(length for length, _ in found) == len(text) - 1


def test_equal_loops_are_not_repeated_for_every_token(tokenizer):
    ids = tokenizer("fn f() {}", add_special_tokens=False)["input_ids"]
    assert token_loops(tokenizer, ids, [3] * len(ids), "fn f() {}") is None


def test_the_last_token_is_cut_where_the_function_ends():
    assert within([[3, 1], [4, 2], [2, 1]], 5) == [[3, 1], [2, 2]] and within(None, 5) is None


def test_samples_with_early_exit_keep_the_loop_of_each_token_in_their_file(model, tokenizer, tmp_path):
    settings = GenerationSettings(temperature=1.0, max_new_tokens=12, exit_threshold=0.5)
    path = tmp_path / "samples.jsonl"
    (sample,) = generate(model, tokenizer, [Prompt("a", "fn a() {\n")], settings, path, progress=False)
    assert sample.token_loops is not None
    assert sum(length for length, _ in sample.token_loops) == len(sample.completion)
    assert len({loop for _, loop in sample.token_loops}) > 1
    assert {loop for _, loop in sample.token_loops} <= {1, 2, 3}
    assert Sample(**json.loads(path.read_text().splitlines()[1])) == sample


def test_a_file_without_loops_of_tokens_can_still_be_continued(model, tokenizer, tmp_path):
    settings, prompts = GenerationSettings(max_new_tokens=5, batch_size=1), [Prompt("a", "fn a() {"), Prompt("b", "{")]
    path = tmp_path / "samples.jsonl"
    whole = generate(model, tokenizer, prompts, settings, path, progress=False)
    header, first, _ = path.read_text().splitlines()
    older = {name: value for name, value in asdict(whole[0]).items() if name != "token_loops"}
    assert older == {name: value for name, value in json.loads(first).items() if name != "token_loops"}
    path.write_text(header + "\n" + json.dumps(older) + "\n")
    assert generate(model, tokenizer, prompts, settings, path, progress=False) == whole
