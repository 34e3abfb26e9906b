"""
Reinforcement learning in which few rows have an advantage, with all rows passed through the model or only those.

As a script, started by torchrun, it compares the two in several processes; only the first process has such rows.

    trained_rows.py OUTPUT_DIR
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset

from tests.helpers.reinforcement import PROMPTS, arguments, looped, prompts_tokenizer
from trainers.callbacks import PlotCallback
from trainers.reinforcement.maxrl import MaxRLTrainer

TOKENIZER = prompts_tokenizer()
STEPS = 3


class FewRows(MaxRLTrainer):
    """Trainer that calls every completion finished, and counts the rows of its forward passes."""

    every_row = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.passed: list[tuple[int, int, int]] = []

    @property
    def selects_rows(self) -> bool:
        return super().selects_rows and not self.every_row

    def _generate_single_turn(self, *args, **kwargs):
        drawn = super()._generate_single_turn(*args, **kwargs)
        self._finished = [True] * len(drawn[0])
        return drawn

    def _compute_loss(self, model, inputs):
        shape = inputs["prompt_ids"].shape[1], inputs["completion_ids"].shape[1]
        self.passed.append((len(inputs["advantages"]), *shape))
        return super()._compute_loss(model, inputs)


class EveryRow(FewRows):
    """The same, with all rows passed through the model."""

    every_row = True


def fourth_row_of_odd_steps(completion_ids, trainer_state, **columns) -> list[float]:
    """One success in the first group of the first step and of the third; all others fail."""
    return [float(number == 3 and trainer_state.global_step % 2 == 0) for number in range(len(completion_ids))]


def trained(kind: type[FewRows], folder: Path, success=fourth_row_of_odd_steps, **settings) -> FewRows:
    """Train for three steps of two groups of four completions."""
    defaults = dict(
        max_steps=STEPS,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
        max_completion_length=9,
        # Steps are smooth in the gradient, and depend on the earlier ones.
        learning_rate=1.0,
        adam_epsilon=1.0,
        weight_decay=0.1,
        lr_scheduler_type="linear",
        sample_steps=0,
        curriculum=False,
    )
    trainer = kind(
        # Without activations of 8 bits, whose rounding would turn the smallest difference into a larger one.
        model=looped(TOKENIZER, activation_bits=None),
        reward_funcs=success,
        args=arguments(folder, **(defaults | settings)),
        train_dataset=Dataset.from_dict({"prompt": [*PROMPTS[:-1], "fn f() { // a longer one\n" + PROMPTS[-1]]}),
        processing_class=TOKENIZER,
    )
    trainer.remove_callback(PlotCallback)
    trainer.train()
    return trainer


def difference(one: FewRows, other: FewRows) -> float:
    """Largest difference of two trainers' weights."""
    pairs = zip(one.policy.parameters(), other.policy.parameters(), strict=True)
    return max((first - second).abs().max().item() for first, second in pairs)


def main() -> None:
    folder = Path(sys.argv[1])

    def first_process_alone(completion_ids, **columns) -> list[float]:
        rank = trainer_rank()
        return [float(rank == 0 and number in (1, 2)) for number in range(len(completion_ids))]

    def trainer_rank() -> int:
        return torch.distributed.get_rank()

    for loss_type in ("dapo", "dr_grpo"):
        settings = dict(loss_type=loss_type)
        one, other = (trained(kind, folder / kind.__name__, first_process_alone, **settings) for kind in KINDS)
        found = {"difference": difference(one, other), "passed": one.passed, "processes": one.args.world_size}
        # Not printed: lines of several processes may run together.
        (folder / f"{loss_type}_{trainer_rank()}.json").write_text(json.dumps(found))


KINDS = FewRows, EveryRow

if __name__ == "__main__":
    main()
