"""Measurements of held-out tasks in the middle of a training, which several benchmarks share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from reporting import replace_json
from transformers import PreTrainedTokenizerBase, TrainerCallback

from evaluation.generation_settings import GenerationSettings
from evaluation.loss_by_depth import evaluation_mode, token_losses
from evaluation.rust import RustVerifier
from evaluation.rust.judging import LocalJudge
from modeling_nanochat import LoopLMForCausalLM
from modeling_nanochat.loss_nanochat import IGNORE_INDEX
from trainers.data.tasks import Task, measure_tasks


def solved_of(
    model: LoopLMForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    tasks: list[Task],
    sampling: GenerationSettings,
    folder: Path,
    step: int,
    verdicts: Path,
) -> dict[str, Any]:
    """
    Return the number of `samples` for each task, and of those that are `correct`, that are `compiled`, and that are
    correct and `distinct`; and over the tokens of the solutions the mean loss after each loop (`by_loop`, in nats) and
    the mean exit distribution (`exit_pdf`). The samples are kept in `folder` and the verdicts in `verdicts`, so that
    an interrupted call goes on.
    """
    state = torch.get_rng_state()
    with RustVerifier(workers=1, cache_dir=verdicts, run_timeout=1.0) as verifier:
        samples = folder / "samples" / f"{step}.jsonl"
        found = measure_tasks(model, tokenizer, tasks, sampling, LocalJudge(verifier), samples)
    torch.set_rng_state(state)
    by_loop, exit_pdf = depths(model, tokenizer, tasks)
    return {
        "samples": found.num_samples,
        "correct": found.correct,
        "compiled": found.compiled,
        "distinct": found.distinct,
        "by_loop": by_loop,
        "exit_pdf": exit_pdf,
    }


def depths(
    model: LoopLMForCausalLM, tokenizer: PreTrainedTokenizerBase, tasks: list[Task]
) -> tuple[list[float], list[float]]:
    """Return the mean loss after each loop and the mean exit distribution, over the tokens of the tasks' solutions."""
    losses, exits = [], []
    with evaluation_mode(model):
        for task in tasks:
            ids = tokenizer([task.code])["input_ids"][0]
            labels = torch.tensor([[*ids[1:], IGNORE_INDEX]])
            labels[:, : len(tokenizer([task.prompt])["input_ids"][0]) - 1] = IGNORE_INDEX
            found = token_losses(model, torch.tensor([ids]), labels)
            losses.append(found[0])
            exits.append(found[1])
    return torch.cat(losses, dim=1).mean(dim=1).tolist(), torch.cat(exits).mean(dim=0).tolist()


class Measure(TrainerCallback):
    """
    Measure the held-out tasks before the first step and at regular intervals, in `held_out_STEP.json`.

    Args:
        tasks: The tasks.
        tokenizer: The model's.
        folder: Folder of the run.
        steps: Steps between two measurements.
        sampling: Settings of the samples at a step.
        verdicts: Folder of verdicts, which several runs may share.
    """

    def __init__(
        self,
        tasks: list[Task],
        tokenizer: PreTrainedTokenizerBase,
        folder: Path,
        steps: int,
        sampling: Callable[[int], GenerationSettings],
        verdicts: Path,
    ):
        self.tasks, self.tokenizer, self.folder, self.steps = tasks, tokenizer, folder, steps
        self.sampling, self.verdicts = sampling, verdicts

    def on_train_begin(self, args, state, control, **kwargs):
        # Of a training that was killed while it measured, too.
        if state.global_step % self.steps == 0:
            self.measure(kwargs["model"], state.global_step)

    def on_save(self, args, state, control, **kwargs):
        if state.global_step % self.steps == 0:
            self.measure(kwargs["model"], state.global_step)

    def measure(self, model: LoopLMForCausalLM, step: int) -> None:
        """Measure, unless an earlier call did."""
        path = self.folder / f"held_out_{step}.json"
        if not path.exists():
            found = solved_of(model, self.tokenizer, self.tasks, self.sampling(step), self.folder, step, self.verdicts)
            replace_json(path, found)
