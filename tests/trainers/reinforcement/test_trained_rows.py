"""Rows without an advantage are left out of the forward pass, and the training stays the same."""

import json
import os
import subprocess
import sys

import pytest
import torch

from tests.helpers.paths import HELPERS
from tests.helpers.reinforcement import looped
from tests.helpers.trained_rows import STEPS, TOKENIZER, EveryRow, FewRows, difference, trained
from trainers.reinforcement.trained_rows import with_advantage


@pytest.mark.parametrize(("loss_type", "loop_credit"), [("dapo", "final"), ("dr_grpo", "exit_pdf")])
def test_the_weights_are_those_of_a_training_with_all_rows(tmp_path, loss_type, loop_credit):
    settings = dict(loss_type=loss_type, loop_credit=loop_credit)
    few, every = (trained(kind, tmp_path / kind.__name__, **settings) for kind in (FewRows, EveryRow))
    assert difference(few, every) < 1e-6
    start = looped(TOKENIZER, activation_bits=None).parameters()
    assert max((a - b).abs().max() for a, b in zip(start, few.policy.parameters(), strict=True)) > 1e-3
    assert len(every.passed) == 4 * STEPS
    # The second step has no success, and makes no forward pass.
    assert [rows for rows, *_ in few.passed] == [2, 2] * 2
    assert sum(prompt + completion for _, prompt, completion in few.passed[:2]) <= sum(
        prompt + completion for _, prompt, completion in every.passed[:2]
    )
    logs = few.state.log_history[:STEPS]
    assert [log["rows_trained"] for log in logs] == [0.5, 0, 0.5]
    assert [log["entropy"] is None for log in logs] == [False, True, False]
    for name in ("learning_rate", "loss", "grad_norm"):
        expected = [log[name] for log in every.state.log_history[:STEPS]]
        assert [log[name] for log in logs] == pytest.approx(expected, abs=1e-5)


def test_a_loss_that_needs_all_rows_gets_them(tmp_path):
    trainer = trained(FewRows, tmp_path, loss_type="bnpo", max_steps=1)
    assert [rows for rows, *_ in trainer.passed] == [2] * 4


def test_each_row_with_an_advantage_is_in_one_batch_and_keeps_its_tokens():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 7, (2, 3, 4), generator=generator)
    batches = []
    for part in range(3):
        prompt = torch.arange(6) >= 6 - lengths[0, part, :, None]
        completion = torch.arange(6) < lengths[1, part, :, None]
        tokens = torch.randint(1, 1000, (2, 4, 6), generator=generator)
        batches.append(
            {
                "prompt_ids": tokens[0] * prompt,
                "prompt_mask": prompt.long(),
                "completion_ids": tokens[1] * completion,
                "completion_mask": completion.long(),
                "advantages": torch.tensor([0.0, 0.0, 0.0, part == 1]) + 2 * (torch.arange(4) == 2),
                "num_items_in_batch": torch.tensor(99),
            }
        )

    def rows_of(batch):
        tokens = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        return [(row[row > 0].tolist(), advantage) for row, advantage in zip(tokens, batch["advantages"], strict=True)]

    everything = [row for batch in batches for row in rows_of(batch)]
    for passed, shape in ((4, [4]), (5, [3, 2]), (11, [4, 4, 3])):
        found = with_advantage(batches, passed)
        filled = [batch for batch in found if batch is not None]
        assert found == [None] * (3 - len(shape)) + filled
        assert [len(batch["advantages"]) for batch in filled] == shape
        rows = [row for batch in filled for row in rows_of(batch)]
        assert sorted(ids for ids, advantage in rows if advantage) == sorted(ids for ids, one in everything if one)
    assert with_advantage([batch | {"advantages": torch.zeros(4)} for batch in batches], 0) == [None] * 3


@pytest.mark.slow
def test_two_processes_of_which_one_has_no_rows_train_the_same_model(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    finished = subprocess.run(
        [*launcher, str(HELPERS / "trained_rows.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert finished.returncode == 0, finished.stderr
    results = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert len(results) == 4
    for found in results:
        assert found["processes"] == 2 and found["difference"] < 1e-6
        # One group has an advantage. The other process passes as many rows, because metrics of rows are gathered.
        assert [rows for rows, *_ in found["passed"]] == [2, 2] * STEPS


def test_rows_of_one_prompt_can_stay_together():
    prompts = torch.tensor([[0, 3], [1, 2], [0, 3], [1, 2]])
    batch = {
        "prompt_ids": prompts,
        "prompt_mask": (prompts > 0).long(),
        "completion_ids": torch.tensor([[5], [6], [7], [8]]),
        "completion_mask": torch.ones(4, 1, dtype=torch.long),
        "advantages": torch.ones(4),
    }
    halves = with_advantage(
        [{name: each[half] for name, each in batch.items()} for half in ([0, 1], [2, 3])], 4, together=True
    )
    found = [half["completion_ids"].flatten().tolist() for half in halves if half is not None]
    assert sorted(found) == [[5, 7], [6, 8]]
