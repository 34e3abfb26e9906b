"""What a model is worth while it trains, within a time budget."""

import math
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generate import Sampling, generate
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.sandbox.runner import CodeExecutionNotAllowed, require_consent
from evaluation.rust.verdict import CHECKS
from evaluation.suites.compile_rate import CompileRate
from evaluation.suites.humaneval_rust import HumanEvalRust
from evaluation.suites.perplexity import loss_by_depth

PROMPTS_AT_A_TIME = 8


@dataclass(frozen=True)
class ContinuousEvaluation:
    """
    Measures a model in the middle of its training; to be called with the model and its step.

    The held-out loss is measured first and always. Then completions are drawn greedily, some prompts at a time, until
    they or the seconds are used up; how many it were is told beside every rate, because few make a rate coarse.

    Attributes:
        tokenizer: The model's.
        blocks: Held-out blocks.
        suites: Benchmarks to take prompts from, in their order. HumanEval runs programs and is left out without
            `HF_ALLOW_CODE_EVAL=1`.
        folder: For the samples of the last evaluation.
        seconds: Time budget for all completions together; a batch that was begun is finished.
        sampling: How completions are drawn.
    """

    tokenizer: PreTrainedTokenizerBase
    blocks: Dataset
    suites: Sequence[CompileRate | HumanEvalRust]
    folder: Path
    seconds: float = 60.0
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0, max_new_tokens=96))

    def __call__(self, model: PreTrainedModel, step: int) -> dict[str, float]:
        """
        `eval_loss`, `eval_loop_N_loss` in nats and `eval_perplexity`, of `eval_blocks` blocks; per suite
        `eval_compiles` and `eval_semantic_score`, the share of the compiler's three checks (types, ownership,
        lifetimes) that hold, or `eval_humaneval_pass`; and the number of completions of each, `eval_compiles_of`.
        """
        with _same_random_state():
            return self._measure(model)

    def _measure(self, model: PreTrainedModel) -> dict[str, float]:
        losses = loss_by_depth(model, self.blocks)
        found = {f"eval_loop_{loop}_loss": loss for loop, loss in enumerate(losses, start=1)}
        found = {"eval_loss": losses[-1], "eval_perplexity": math.exp(losses[-1])} | found
        found["eval_blocks"] = len(self.blocks)
        suites = [each for each in self.suites if not isinstance(each, HumanEvalRust) or may_run_programs()]
        end = time.monotonic() + self.seconds
        for index, suite in enumerate(suites):
            # What is left is divided evenly: the first must not take it all.
            now = time.monotonic()
            deadline = now + (end - now) / (len(suites) - index)
            verdicts = self._verdicts(suite, model, deadline)
            if not verdicts:
                continue
            name = "humaneval_pass" if isinstance(suite, HumanEvalRust) else "compiles"
            found[f"eval_{name}"] = sum(verdict.ok for verdict in verdicts) / len(verdicts)
            found[f"eval_{name}_of"] = len(verdicts)
            if isinstance(suite, CompileRate):
                held = [verdict.checks[check] == "ok" for verdict in verdicts for check in CHECKS]
                found["eval_semantic_score"] = sum(held) / len(held)
        return found

    def _verdicts(self, suite: CompileRate | HumanEvalRust, model: PreTrainedModel, deadline: float) -> list[Verdict]:
        prompts, completions = suite.prompts(), []
        folder = self.folder / suite.name
        shutil.rmtree(folder, ignore_errors=True)
        for start in range(0, len(prompts), PROMPTS_AT_A_TIME):
            if time.monotonic() >= deadline:
                break
            part = prompts[start : start + PROMPTS_AT_A_TIME]
            path = folder / f"from_{start}.jsonl"
            sampling = replace(self.sampling, num_samples=1)
            samples = generate(model, self.tokenizer, part, sampling, path, progress=False, rule=suite.stop)
            completions += [[sample.completion] for sample in samples]
        if not completions:
            return []
        reached = type(suite)(suite.problems[: len(completions)])
        with RustVerifier() as verifier:
            return [verdict for (verdict,) in reached.verify(completions, verifier)]


@contextmanager
def _same_random_state() -> Iterator[None]:
    """Drawing sets the seeds; a training that is evaluated must go on as one that is not."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])


def may_run_programs() -> bool:
    """Whether the user has allowed it."""
    try:
        require_consent()
    except CodeExecutionNotAllowed:
        return False
    return True
