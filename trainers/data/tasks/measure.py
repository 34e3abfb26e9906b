"""Share of tasks that a model solves: samples, verdicts and pass@k."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generate import Prompt, generate
from evaluation.generation_settings import GenerationSettings
from evaluation.pass_at_k import pass_at_k
from evaluation.results import Interval, share_interval
from evaluation.rust import RustVerifier
from evaluation.rust.syntax.completion import completed_function
from evaluation.scoring import verify_samples
from trainers.data.tasks.prompts import task_prompts
from trainers.data.tasks.task import Task


@dataclass(frozen=True)
class Solved:
    """
    Verdicts on the samples of a model.

    Attributes:
        correct: Number of correct samples for each task.
        compiled: Number of samples that compile with the required signature for each task.
        distinct: Number of correct samples for each task that differ in more than white space.
        num_samples: Number of samples per task.
    """

    correct: tuple[int, ...]
    compiled: tuple[int, ...]
    distinct: tuple[int, ...]
    num_samples: int

    def pass_at(self, k: int) -> Interval:
        """Return pass@k with its 95% confidence interval over the tasks."""
        return share_interval([pass_at_k(self.num_samples, correct, k) for correct in self.correct])

    @property
    def compile_rate(self) -> Interval:
        """Share of the samples that compile, with its 95% confidence interval over the tasks."""
        return share_interval([compiled / self.num_samples for compiled in self.compiled])


def measure_tasks(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[Task],
    sampling: GenerationSettings,
    verifier: RustVerifier,
    path: Path,
    progress: bool = False,
) -> Solved:
    """
    Generate completions for each task and verify them under the rules for rewards; all hidden tests must pass.

    Args:
        path: File for the samples; an interrupted call continues it.

    Raises:
        ScoringUnavailable: The compiler or the sandbox failed.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    prompts = [Prompt(row["id"], row["prompt"]) for row in task_prompts(tasks)]
    was_training = model.training
    samples = generate(model.eval(), tokenizer, prompts, sampling, path, progress, completed_function)
    model.train(was_training)
    n = sampling.num_samples
    programs = [
        [prompt.text + sample.completion for sample in samples[index * n : (index + 1) * n]]
        for index, prompt in enumerate(prompts)
    ]
    verdicts = verify_samples(verifier, programs, [task.tests for task in tasks], rules="reward")
    right = [
        {"".join(program.split()) for program, verdict in zip(*each, strict=True) if verdict.ok}
        for each in zip(programs, verdicts, strict=True)
    ]
    return Solved(
        correct=tuple(sum(verdict.ok for verdict in each) for each in verdicts),
        compiled=tuple(sum(set(verdict.checks.values()) == {"ok"} for verdict in each) for each in verdicts),
        distinct=tuple(map(len, right)),
        num_samples=n,
    )
