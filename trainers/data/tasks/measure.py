"""Share of tasks that a model solves: samples, verdicts and pass@k."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.chat_mode import PLACE, ChatMode
from evaluation.generate import Prompt, generate
from evaluation.generation_settings import GenerationSettings
from evaluation.own_task import OwnTask
from evaluation.pass_at_k import pass_at_k
from evaluation.results import Interval, share_interval
from evaluation.rust import Verdict
from evaluation.rust.judging import Judge
from evaluation.rust.syntax.answers import extract_rust
from evaluation.rust.syntax.completion import completed_function
from evaluation.samples import Sample
from evaluation.scoring import UNFINISHED, ScoringUnavailable
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
    tasks: Sequence[Task | OwnTask],
    sampling: GenerationSettings,
    judge: Judge,
    path: Path,
    progress: bool = False,
) -> Solved:
    """
    Generate completions for each task and judge them under the rules for rewards; all hidden tests must pass.

    Args:
        judge: Gives the verdicts.
        path: File for the samples; an interrupted call continues it.

    Raises:
        ScoringUnavailable: The compiler or the sandbox failed.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    chat = any(isinstance(task, OwnTask) and task.is_chat for task in tasks)
    prompts = [Prompt(task.id, _shown(task)) for task in tasks]
    was_training = model.training
    mode = ChatMode(PLACE) if chat else None
    samples = generate(model.eval(), tokenizer, prompts, sampling, path, progress, completed_function, mode)
    model.train(was_training)
    n = sampling.num_samples
    answers = [
        [_answer(task, sample, chat) for sample in samples[index * n : (index + 1) * n]]
        for index, task in enumerate(tasks)
    ]
    verdicts = _verdicts(tasks, answers, judge)
    right = [
        {"".join(answer.split()) for answer, verdict in zip(*each, strict=True) if answer and verdict.ok}
        for each in zip(answers, verdicts, strict=True)
    ]
    return Solved(
        correct=tuple(sum(verdict.ok for verdict in each) for each in verdicts),
        compiled=tuple(sum(set(verdict.checks.values()) == {"ok"} for verdict in each) for each in verdicts),
        distinct=tuple(map(len, right)),
        num_samples=n,
    )


def _shown(task: Task | OwnTask) -> str:
    """Return what a model is shown: the text to continue, or the only message."""
    if isinstance(task.prompt, str):
        return task.prompt.rstrip() if isinstance(task, Task) else task.prompt
    (message,) = task.prompt
    return message["content"]


def _answer(task: Task | OwnTask, sample: Sample, chat: bool) -> str | None:
    """Return what the verifier judges; None for an unfinished answer."""
    if chat:
        return extract_rust(sample.completion) if sample.finished else None
    return task.judged(sample.completion) if isinstance(task, OwnTask) else _shown(task) + sample.completion


def _verdicts(
    tasks: Sequence[Task | OwnTask], answers: Sequence[Sequence[str | None]], judge: Judge
) -> list[list[Verdict]]:
    pairs = [(answer, task.tests) for task, each in zip(tasks, answers, strict=True) for answer in each]
    pairs = [(answer, tests) for answer, tests in pairs if answer is not None]
    codes, tests = [answer for answer, _ in pairs], [each for _, each in pairs]
    found = judge.judge(codes, tests, "reward") if pairs else []
    failed = [verdict for verdict in found if verdict.status == "unavailable"]
    if failed:
        reason = failed[0].diagnostics[0].message if failed[0].diagnostics else "no reason was given"
        raise ScoringUnavailable(f"nothing was scored: the judge failed for {len(failed)} answers ({reason})")
    remaining = iter(found)
    return [[UNFINISHED if answer is None else next(remaining) for answer in each] for each in answers]
