"""Blocks of random tokens that repeat."""

import pickle

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from modeling_nanochat.loss_nanochat import IGNORE_INDEX
from recipes.pipeline.stages.pretrain import SHORTEST_REPEATING_BLOCK, Pretrain
from trainers.data.collator import collate_blocks
from trainers.data.repeated_tokens import SHORTEST_BLOCK, RepeatedTokens, told_tokens, with_repeated_tokens
from trainers.data.tokenizer import train_tokenizer

BOS = 1
IDS = np.arange(3, 50_000)


def blocks_of(seq_len=64, count=200, seed=0):
    return RepeatedTokens(IDS, BOS, seq_len, count, seed)


@given(st.integers(8, 300), st.integers(0, 2**32), st.integers(0, 199))
def test_a_block_has_its_length_and_begins_with_bos_and_has_only_ids_that_may_be_drawn(seq_len, seed, index):
    ids = blocks_of(seq_len, seed=seed)[index]["input_ids"]
    assert ids.shape == (seq_len,) and ids.dtype == np.int64
    assert ids[0] == BOS and np.isin(ids[1:], IDS).all()


@given(st.integers(8, 300), st.integers(0, 2**32), st.integers(0, 199))
def test_labels_are_the_tokens_that_an_earlier_pair_tells_and_every_block_has_some(seq_len, seed, index):
    row = blocks_of(seq_len, seed=seed)[index]
    ids, labels = row["input_ids"].tolist(), row["labels"].tolist()
    told = [place > 0 and ids[place - 1 : place + 1] in pairs_of(ids[:place]) for place in range(seq_len)]
    assert labels == [token if is_told else IGNORE_INDEX for token, is_told in zip(ids, told, strict=True)]
    assert any(told)


def pairs_of(ids):
    return [list(pair) for pair in zip(ids[:-1], ids[1:], strict=True)]


def test_blocks_too_short_to_repeat_are_refused_by_data_and_recipe():
    with pytest.raises(ValueError, match="seq_len must be at least 8, so that something repeats, got 7"):
        blocks_of(seq_len=7)
    with pytest.raises(ValueError, match="copying.seq_len must be at least 8 with repeated_tokens, .* got 7"):
        Pretrain(name="copying", total_steps=1, batch_size=1, seq_len=7, peak_lr=1.0, repeated_tokens=0.5)
    assert SHORTEST_BLOCK == SHORTEST_REPEATING_BLOCK


def test_a_batch_of_both_has_labels_of_all_text_and_of_what_is_told_in_repeated_tokens():
    repeated = blocks_of(seq_len=16)[0]
    batch = collate_blocks([{"input_ids": np.arange(16)}, repeated])
    assert batch["labels"].tolist() == [list(range(16)), repeated["labels"].tolist()]


def test_about_half_of_the_tokens_are_told_by_an_earlier_occurrence_and_none_by_a_fixed_distance():
    rows = [blocks_of()[index]["input_ids"] for index in range(200)]
    assert 0.3 < np.mean([told_tokens(row).mean() for row in rows]) < 0.8
    for distance in range(1, 63):
        assert np.mean([(row[distance:] == row[:-distance]).mean() for row in rows]) < 0.2


def test_a_token_is_told_only_by_an_earlier_pair_and_not_by_itself():
    assert told_tokens(np.array([5, 6, 7, 5, 6, 8, 6, 7, 7, 7, 7])).tolist() == [
        *(False, False, False, False),
        *(True, False, False, True, False, True, True),
    ]


def test_a_block_depends_on_seed_and_index_alone_so_that_a_resumed_training_reads_the_same():
    first, other = blocks_of(seed=3), pickle.loads(pickle.dumps(blocks_of(seed=3, count=500)))
    assert np.array_equal(first[7]["input_ids"], other[7]["input_ids"])
    assert not np.array_equal(first[7]["input_ids"], first[8]["input_ids"])
    assert not np.array_equal(first[7]["input_ids"], blocks_of(seed=4)[7]["input_ids"])
    assert np.array_equal(first[-1]["input_ids"], first[199]["input_ids"])
    with pytest.raises(IndexError, match="index must be from -200 to 199, got 200"):
        first[200]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["fn main() {}\n"] * 4, 260, 32)


@pytest.mark.parametrize("share, count", [(0.25, 10), (0.5, 30), (0.01, 1)])
def test_the_share_is_that_of_the_blocks_and_the_text_stays_whole(tokenizer, share, count):
    text = Dataset.from_dict({"input_ids": [[BOS] + [number] * 15 for number in range(3, 33)]})
    mixed = with_repeated_tokens(text, tokenizer, share, count=7, seed=0)
    assert [mixed[index]["input_ids"] for index in range(30)] == text["input_ids"][:]
    assert len(mixed) == 30 + count
    assert collate_blocks([mixed[0], mixed[30]])["input_ids"].shape == (2, 16)


def test_without_text_there_are_as_many_blocks_as_the_stage_reads(tokenizer):
    text = Dataset.from_dict({"input_ids": [[BOS] * 16]})
    repeated = with_repeated_tokens(text, tokenizer, 1, count=12, seed=0)
    assert len(repeated) == 12
    drawn = np.unique(np.concatenate([repeated[index]["input_ids"] for index in range(12)]))
    assert drawn.min() == BOS and drawn[1] >= 3 and drawn.max() < len(tokenizer)


def test_blocks_beside_masked_documents_are_one_document_each(tokenizer):
    text = Dataset.from_dict({"input_ids": [[BOS, 5, 6, 7] * 2], "position_ids": [[0, 1, 2, 3] * 2]})
    mixed = with_repeated_tokens(text, tokenizer, 0.5, count=1, seed=0)
    batch = collate_blocks([mixed[0], mixed[1]])
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3] * 2, list(range(8))]
    assert batch["labels"][1].tolist() == mixed[1]["labels"].tolist()
