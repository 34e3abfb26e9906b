"""What a task is, and how a set of them is loaded: not without looking whether its cases are worth anything."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from evaluation.rust import HiddenTests, RustVerifier
from trainers.tasks.mutants import constant, mutants

Split = Literal["train", "held_out_family", "held_out_parameters"]
SPLITS: tuple[str, ...] = Split.__args__
KILLED = {"tests_failed", "timeout", "resource_limit"}
LEAST_KILLED = 3
FIRST_MUTANTS = 4  # of each task; the others are tried when too few of these are caught


@dataclass(frozen=True)
class Task:
    """
    One task.

    Attributes:
        id: Of the code.
        prompt: Documentation and signature, up to the opening brace.
        solution: What follows the prompt.
        signature: What the code must define, as `HiddenTests` has it.
        checker: Cases that the prompt does not show, in the judge's form.
        tier: 0 (one line) to 4 (several functions).
        family: What it was made from.
        split: "train", or held out with its whole family, or by its parameters.
    """

    id: str
    prompt: str
    solution: str
    signature: str
    checker: str
    tier: int
    family: str
    split: Split = "train"

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int if field.name == "tier" else str):
                raise ValueError(f"a task's {field.name} must be {field.type.__name__}, got {value!r}")
        if not self.prompt.rstrip().endswith("{"):
            raise ValueError(f"a task's prompt must end with a function's opening brace, got {self.prompt[-40:]!r}")
        if self.split not in SPLITS:
            raise ValueError(f"a task's split must be one of {', '.join(SPLITS)}, got {self.split!r}")

    @property
    def code(self) -> str:
        """The prompt with its solution."""
        return self.prompt + self.solution

    @property
    def tests(self) -> HiddenTests:
        """For the judge. Raises `ValueError` when signature or checker is not of its form."""
        return HiddenTests(self.signature, self.checker)


def find_faults(tasks: Sequence[Task], verifier: RustVerifier, progress: bool = False) -> list[str | None]:
    """
    What is wrong with each task, under the rules for rewards; None where nothing is: the solution passes, a function
    that always returns the same fails, and so do at least three wrong variants of the solution.

    Raises:
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    wrong = [mutants(task.prompt, task.solution) for task in tasks]
    first = [
        [task.code, constant(task.prompt, task.solution, task.checker), *(each.code for each in its[:FIRST_MUTANTS])]
        for task, its in zip(tasks, wrong, strict=True)
    ]
    verdicts = _judge(first, tasks, verifier, progress)
    killed = [sum(verdict.status in KILLED for verdict in its[2:]) for its in verdicts]
    doubtful = [index for index, number in enumerate(killed) if number < LEAST_KILLED and verdicts[index][0].ok]
    more = [[each.code for each in wrong[index][FIRST_MUTANTS:]] for index in doubtful]
    for index, its in zip(doubtful, _judge(more, [tasks[index] for index in doubtful], verifier, False), strict=True):
        killed[index] += sum(verdict.status in KILLED for verdict in its)
    faults: list[str | None] = []
    for its, number, tried in zip(verdicts, killed, wrong, strict=True):
        solution, same = its[:2]
        if not solution.ok:
            why = solution.diagnostics[0].message if solution.diagnostics else ""
            faults.append(f"its solution does not pass: {solution.status} {why}".strip())
        elif same.ok:
            faults.append("a function that always returns the same passes")
        elif number < LEAST_KILLED:
            faults.append(f"only {number} of {len(tried)} wrong variants fail, {LEAST_KILLED} must")
        else:
            faults.append(None)
    return faults


def _judge(codes: Sequence[Sequence[str]], tasks: Sequence[Task], verifier: RustVerifier, progress: bool):
    """Verdicts on several codes for each task."""
    flat = [code for its in codes for code in its]
    tests = [task.tests for its, task in zip(codes, tasks, strict=True) for _ in its]
    verdicts = iter(verifier.verify(flat, tests, rules="reward", progress=progress))
    return [[next(verdicts) for _ in its] for its in codes]


def read_tasks(path: Path) -> list[Task]:
    """
    The tasks of a file of JSON lines, unchecked.

    Raises:
        ValueError: A line is no task; says which and why.
    """
    names = [field.name for field in fields(Task)]
    tasks = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            task = Task(**{name: row[name] for name in names if name in row or name != "split"})
            assert task.tests.declarations.items
        except (ValueError, KeyError, TypeError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{path} must hold a task in each line, line {number} does not: {reason}") from None
        tasks.append(task)
    if not tasks:
        raise ValueError(f"{path} must hold tasks, got none")
    return tasks


def load_tasks(
    path: Path, verifier: RustVerifier, split: Split | None = None, sample: int = 16, seed: int = 0
) -> list[Task]:
    """
    Tasks to train on or to measure with.

    Args:
        path: JSON lines, as `python -m trainers.data synth --tasks` writes them.
        verifier: Judges the sample.
        split: Only tasks of this split; None takes all.
        sample: So many of them are checked as `find_faults` does it.
        seed: Chooses them.

    Raises:
        ValueError: A line is no task, there is none of this split, or one of the sample is not worth rewarding.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be None or one of {', '.join(SPLITS)}, got {split!r}")
    tasks = [task for task in read_tasks(path) if split in (None, task.split)]
    if not tasks:
        raise ValueError(f"{path} must hold tasks of split {split}, got none")
    chosen = random.Random(seed).sample(tasks, min(sample, len(tasks)))
    faults = [(task, fault) for task, fault in zip(chosen, find_faults(chosen, verifier), strict=True) if fault]
    if faults:
        told = "; ".join(f"{task.id} ({task.family}): {fault}" for task, fault in faults[:5])
        raise ValueError(
            f"{path} must hold tasks whose cases tell right from wrong; {len(faults)} of {len(chosen)} do not: {told}"
        )
    return tasks
