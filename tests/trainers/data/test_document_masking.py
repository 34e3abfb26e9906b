"""Document masking: a document in a packed block is trained on and scored as if it were alone."""

import pickle

import numpy as np
import pytest
import torch
from datasets import Dataset

from tests.helpers.pretraining import make_trainer
from tests.helpers.tiny import random_tokens, tiny_model
from trainers.data.blocks import TokenBlocks, positions_in_documents
from trainers.data.collator import collate_blocks
from trainers.gate import GateTrainer
from trainers.pretraining import LoopLMTrainer

BOS, EOS = 1, 2
LENGTHS = (7, 3, 11, 2, 9)


def documents():
    return [
        torch.cat([torch.tensor([BOS]), random_tokens(1, length, seed=index)[0], torch.tensor([EOS])])
        for index, length in enumerate(LENGTHS)
    ]


@pytest.fixture
def blocks(tmp_path):
    stream = torch.cat(documents()).numpy().astype(np.uint16)
    stream.tofile(tmp_path / "tokens.bin")
    return TokenBlocks(tmp_path / "tokens.bin", "uint16", len(stream), len(stream), BOS, document_masking=True)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("streams", [1, 2])
def test_logits_of_a_packed_document_are_those_of_the_document_alone(blocks, attention, streams):
    model = tiny_model(mhc_num_streams=streams, attn_implementation=attention)
    batch = collate_blocks([blocks[0], blocks[0]])
    with torch.no_grad():
        packed = model(**batch, use_cache=False).logits[1].split([length + 2 for length in LENGTHS])
        crossing = model(batch["input_ids"], use_cache=False).logits[0].split([length + 2 for length in LENGTHS])
        for index, document in enumerate(documents()):
            alone = model(document[None], use_cache=False).logits[0]
            torch.testing.assert_close(packed[index], alone, atol=1e-4, rtol=1e-4)
            # Without the positions, all documents but the first see those before.
            assert torch.allclose(crossing[index], alone, atol=1e-4, rtol=1e-4) == (index == 0)


@pytest.mark.parametrize("trainer_class", [LoopLMTrainer, GateTrainer])
def test_a_step_on_a_packed_block_is_the_step_on_its_documents(tmp_path, blocks, trainer_class):
    """The labels end with each document: bos is no label, whatever precedes it."""
    states, losses = [], []
    alone = [{"input_ids": document, "labels": document} for document in documents()]
    for rows, accumulation, collator in ((blocks, 1, collate_blocks), (alone, len(alone), None)):
        trainer = make_trainer(
            tmp_path,
            model=tiny_model(),
            trainer_class=trainer_class,
            rows=rows,
            optim="sgd",
            max_grad_norm=0,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=accumulation,
        )
        if collator is not None:
            trainer.data_collator = collator
        trainer.train()
        states.append(trainer.model.state_dict())
        losses.append(trainer.state.log_history[0]["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, atol=1e-5, rtol=1e-3)


def test_blocks_without_positions_are_batches_with_all_labels(blocks):
    rows = Dataset.from_dict({"input_ids": [[BOS, 5, EOS, BOS], [6, EOS, BOS, 7]]})
    batch = collate_blocks([rows[0], rows[1]])
    assert set(batch) == {"input_ids", "labels"}
    assert torch.equal(batch["labels"], batch["input_ids"]) and batch["labels"].tolist()[1] == [6, EOS, BOS, 7]


def test_positions_begin_again_with_each_document_and_with_the_block():
    assert positions_in_documents(np.array([5, 6, BOS, 7, EOS, BOS, BOS, 8]), BOS).tolist() == [0, 1, 0, 1, 2, 0, 0, 1]


def test_regrouped_blocks_have_the_positions_of_their_own_length(blocks):
    shorter = blocks.regroup(8)
    for index, row in enumerate(shorter):
        assert row["input_ids"].tolist() == blocks[0]["input_ids"][8 * index : 8 * index + 8].tolist()
        assert row["position_ids"].tolist() == positions_in_documents(row["input_ids"], BOS).tolist()
        assert row["position_ids"][0] == 0
    assert len(shorter) == len(blocks[0]["input_ids"]) // 8


def test_blocks_are_sent_to_other_processes_by_their_path(blocks):
    shorter = blocks.regroup(5)
    assert shorter[0]["input_ids"].tolist() == blocks[0]["input_ids"][:5].tolist()
    sent = pickle.dumps(shorter)
    assert len(sent) < 600
    assert [row["input_ids"].tolist() for row in pickle.loads(sent)] == [row["input_ids"].tolist() for row in shorter]


def test_workers_of_a_data_loader_read_the_same_batches(blocks):
    def batches(**settings):
        loader = torch.utils.data.DataLoader(blocks.regroup(4), 2, collate_fn=collate_blocks, **settings)
        return [{name: value.tolist() for name, value in batch.items()} for batch in loader]

    assert batches(num_workers=1, multiprocessing_context="fork") == batches()


def test_the_first_blocks_are_a_data_set_for_evaluation(blocks):
    held_out = blocks.regroup(4).first(3)
    assert len(held_out) == 3 and len(blocks.regroup(4).first(10**6)) == len(blocks.regroup(4))
    assert held_out.to_dataset()["input_ids"][:] == [row["input_ids"].tolist() for row in held_out]
    assert held_out[-1]["input_ids"].tolist() == held_out[2]["input_ids"].tolist()
    with pytest.raises(IndexError, match="index must be from -3 to 2, got 3"):
        held_out[3]
    with pytest.raises(ValueError, match="at least one block of seq_len=1000 tokens"):
        held_out.regroup(1000)
