"""Evaluation of a model during its training, within a time budget."""

import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generation_settings import GenerationSettings
from evaluation.loss_by_depth import loss_by_depth
from evaluation.rust.sandbox.runner import is_execution_allowed
from evaluation.settings import EvaluationSettings
from evaluation.suites.registry import suite_classes
from evaluation.suites.suite import Suite, SuiteRun


@dataclass(frozen=True)
class ContinuousEvaluation:
    """
    Measures a model during its training; call it with the model and the step.

    The held-out loss is always measured, and first. Then each suite decodes greedily as many problems as it can begin
    in its share of the time budget. Every rate comes with its number of completions, because a rate of few is coarse.

    Attributes:
        tokenizer: The model's.
        blocks: Held-out blocks of tokens, column `input_ids`.
        suites: Those that take part, see `training_suites`. Suites that run programs are left out without
            `HF_ALLOW_CODE_EVAL=1`.
        folder: For the samples of the last evaluation.
        seconds: Time budget of all suites together; a batch that was begun is finished.
        generation: How completions are generated, one for each prompt.
    """

    tokenizer: PreTrainedTokenizerBase
    blocks: Dataset
    suites: Sequence[Suite]
    folder: Path
    seconds: float = 60.0
    generation: GenerationSettings = field(
        default_factory=lambda: GenerationSettings(temperature=0, max_new_tokens=96)
    )

    def __call__(self, model: PreTrainedModel, step: int) -> dict[str, float]:
        """
        Measure the model; random states are left as they were.

        Returns:
            `eval_loss` and `eval_loop_N_loss` in nats per token, and `eval_perplexity`, over `eval_blocks` blocks; for
            each suite `eval_METRIC`, such as `eval_compiles`, and its number of completions, `eval_METRIC_of`.
        """
        with _same_random_state():
            return self._measure(model)

    def _measure(self, model: PreTrainedModel) -> dict[str, float]:
        losses = loss_by_depth(model, self.blocks)
        found = {f"eval_loop_{loop}_loss": loss for loop, loss in enumerate(losses, start=1)}
        found = {"eval_loss": losses[-1], "eval_perplexity": math.exp(losses[-1])} | found
        found["eval_blocks"] = len(self.blocks)
        settings = EvaluationSettings(generation=replace(self.generation, num_samples=1))
        run = SuiteRun(model, self.tokenizer, settings, self.folder)
        suites = [each for each in self.suites if not each.runs_programs or is_execution_allowed()]
        end = time.monotonic() + self.seconds
        for index, suite in enumerate(suites):
            # The remaining time is divided evenly, so that the first suite does not use all of it.
            now = time.monotonic()
            deadline = now + (end - now) / (len(suites) - index)
            measured = suite.measure_in_training(run, deadline)
            found |= {f"eval_{name}": value for name, value in measured.items()}
        return found


def training_suites(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[list[Suite], dict[str, str]]:
    """
    Load the suites that take part in continuous evaluation, without the problems that do not fit into the model's
    context. Those that run no programs come first; without `HF_ALLOW_CODE_EVAL=1` there are no others.

    Returns:
        The suites, and for each that could not be loaded the reason, by name.
    """
    classes = [each for each in suite_classes() if each.training_metric is not None]
    suites, skipped = [], {}
    for each in sorted(classes, key=lambda suite: suite.runs_programs):
        if each.runs_programs and not is_execution_allowed():
            continue
        try:
            suites.append(each.load(EvaluationSettings()).fitting(model, tokenizer))
        except ValueError as error:
            skipped[each.name] = str(error)
    return suites, skipped


@contextmanager
def _same_random_state() -> Iterator[None]:
    """Restore all random states afterwards: an evaluation must not change the training around it."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])
