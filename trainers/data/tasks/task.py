"""Tasks, and loading them with a check that their hidden cases reject wrong solutions."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from evaluation.rust import HiddenTests, RustVerifier, Verdict
from evaluation.rust.syntax.nodes import field
from evaluation.rust.verifier import RUNS_OF_SOLUTIONS
from trainers.data.rewriting.bindings import parse, text
from trainers.data.tasks.mutants import constant, mutants
from trainers.data.verify import decided

Split = Literal["train", "held_out_family", "held_out_parameters"]
SPLITS: tuple[str, ...] = Split.__args__
MIN_REJECTED = 3
# Number of mutants to try and maximum number of cases to run, in rounds; later rounds only if too few are rejected. A
# program that fails one of the first cases fails all of them, and running fewer is faster.
ROUNDS = ((3, 5), (3, 20), (6, 1000))
# A test that passes if some case fails. A case that never ends is left running in its thread.
NOTICES = """
#[cfg(test)]
mod nanochat_wrong {{
    use super::*;
    {imports}
    macro_rules! check {{
        ($($holds:tt)+) => {{ assert!({{ $($holds)+ }}) }};
    }}
    fn cases() {{
        {checker}
    }}
    #[test]
    fn is_noticed() {{
        // By its type the thread is the same for every task, and compiled once for all.
        let running = std::thread::spawn(cases as fn());
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < 300 {{
            if running.is_finished() {{
                assert!(running.join().is_err());
                return;
            }}
            std::thread::sleep(std::time::Duration::from_micros(50));
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Task:
    """
    A function to implement.

    Attributes:
        id: Hash of the code.
        prompt: Documentation and signature, up to the opening brace.
        solution: Rest of the code after the prompt.
        signature: Declarations that the code must define, in the form of `HiddenTests`.
        checker: Hidden cases, which the prompt does not show, in the form of `HiddenTests`.
        tier: 0 (one line) to 4 (several functions).
        family: Name of the family that generated the task.
        split: "train", or held out with its whole family or by its parameters.
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
        for each in fields(self):
            value = getattr(self, each.name)
            kind = int if each.name == "tier" else str
            if not isinstance(value, kind):
                raise ValueError(f"a task's {each.name} must be {kind.__name__}, got {value!r}")
        if not self.prompt.rstrip().endswith("{"):
            raise ValueError(f"a task's prompt must end with a function's opening brace, got {self.prompt[-40:]!r}")
        if self.split not in SPLITS:
            raise ValueError(f"a task's split must be one of {', '.join(SPLITS)}, got {self.split!r}")

    @property
    def code(self) -> str:
        """The prompt followed by the solution."""
        return self.prompt + self.solution

    @property
    def tests(self) -> HiddenTests:
        """The hidden tests. Raises `ValueError` if the signature or the checker is invalid."""
        return HiddenTests(self.signature, self.checker)


def find_faults(tasks: Sequence[Task], verifier: RustVerifier, progress: bool = False) -> list[str | None]:
    """
    Return the fault of each task, or None for a good task: its solution passes under the rules for rewards in each of
    several runs, and its cases reject a function that always returns the same value and at least three mutants of the
    solution.

    Raises:
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    codes, tests = [task.code for task in tasks], [task.tests for task in tasks]
    verdicts = decided(verifier.verify(codes, tests, rules="reward", progress=progress, runs=RUNS_OF_SOLUTIONS))
    passing = [index for index, verdict in enumerate(verdicts) if verdict.ok]
    same = [(index, constant(tasks[index].prompt, tasks[index].solution, tasks[index].checker)) for index in passing]
    answers = zip(same, notice(same, tasks, verifier, 1000), strict=True)
    stays = {index for (index, _), verdict in answers if verdict.status == "tests_failed"}
    wrong = {index: mutants(tasks[index].prompt, tasks[index].solution) for index in passing}
    rejected, tried = dict.fromkeys(passing, 0), dict.fromkeys(passing, 0)
    for number, cases in ROUNDS:
        doubtful = [index for index in passing if rejected[index] < MIN_REJECTED]
        chosen = [(index, each.code) for index in doubtful for each in wrong[index][tried[index] :][:number]]
        for (index, _), verdict in zip(chosen, notice(chosen, tasks, verifier, cases), strict=True):
            tried[index] += 1
            rejected[index] += verdict.ok
    faults: list[str | None] = []
    for index, verdict in enumerate(verdicts):
        if not verdict.ok:
            why = verdict.diagnostics[0].message if verdict.diagnostics else ""
            faults.append(f"its solution does not pass: {verdict.status} {why}".strip())
        elif index in stays:
            faults.append("a function that always returns the same value passes")
        elif rejected[index] < MIN_REJECTED:
            faults.append(
                f"only {rejected[index]} of {tried[index]} mutants are rejected, at least {MIN_REJECTED} must be"
            )
        else:
            faults.append(None)
    return faults


def notice(
    wrong: Sequence[tuple[int, str]], tasks: Sequence[Task], verifier: RustVerifier, cases: int
) -> list[Verdict]:
    """
    Check whether the cases of a task reject a wrong program. The verdict is `valid` if they do: the program compiles,
    and some case fails or never ends. It is `tests_failed` if all cases pass.

    Many programs run in one process, which is faster than the usual isolation and sufficient for programs that do not
    try to cheat.

    Args:
        wrong: Wrong programs, each with the index of its task.
        tasks: All tasks.
        verifier: Compiles and runs the programs.
        cases: Maximum number of cases to run for each program.
    """
    verdicts = decided(verifier.verify([code for _, code in wrong]))
    # Checking first whether a program compiles is cheaper than building it with tests in vain.
    compiling = [place for place, verdict in enumerate(verdicts) if verdict.ok]
    tests = [
        NOTICES.format(imports=task.tests.declarations.imports, checker=first_cases(task.checker, cases))
        for task in (tasks[wrong[place][0]] for place in compiling)
    ]
    answers = decided(verifier.verify([wrong[place][1] for place in compiling], tests, trusted=True))
    for place, answer in zip(compiling, answers, strict=True):
        verdicts[place] = answer
    return verdicts


def first_cases(checker: str, most: int) -> str:
    """Return the checker without the cases after the first `most` ones."""
    function = parse(f"fn checker() {{\n{checker}\n}}").named_children[0]
    kept, found = [], 0
    for statement in field(function, "body").named_children:
        found += "check!" in text(statement)
        if "check!" not in text(statement) or found <= most:
            kept.append(text(statement))
    return "\n".join(kept)


def read_tasks(path: Path) -> list[Task]:
    """
    Read the tasks of a file of JSON lines without checking them.

    Raises:
        ValueError: A line is not a task; names the line and the reason.
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
            raise ValueError(
                f"{path} must hold a task of `data synth --tasks` in each line, line {number} does not: {reason}. "
                "Tasks of your own are read by read_own_tasks (docs/tasks.md)"
            ) from None
        tasks.append(task)
    if not tasks:
        raise ValueError(f"{path} must hold tasks, got none")
    return tasks


@dataclass(frozen=True)
class SplitTasks:
    """
    Disjoint sets of tasks by their purpose.

    Attributes:
        pretraining: Tasks whose solutions are part of the training text.
        prompts: Tasks whose prompts are used in reinforcement learning.
        held_out: Tasks for evaluation, from the families of the training tasks but with other parameters.
        other_families: Tasks for evaluation, from families that are held out.
    """

    pretraining: list[Task]
    prompts: list[Task]
    held_out: list[Task]
    other_families: list[Task]


def split_tasks(tasks: Sequence[Task]) -> SplitTasks:
    """Split tasks by their purpose. The training tasks alternate between `pretraining` and `prompts`."""
    of_split = {split: [task for task in tasks if task.split == split] for split in SPLITS}
    train = of_split["train"]
    return SplitTasks(train[::2], train[1::2], of_split["held_out_parameters"], of_split["held_out_family"])


def load_tasks(
    path: Path, verifier: RustVerifier, split: Split | None = None, sample: int = 16, seed: int = 0
) -> list[Task]:
    """
    Load tasks for training or evaluation.

    Args:
        path: JSON lines, as `nanochat-ternary data synth --tasks` writes them.
        verifier: Checks a random sample of the tasks.
        split: Only load tasks of this split; None loads all.
        sample: Number of tasks to check with `find_faults`.
        seed: Seed of the choice of these tasks.

    Raises:
        ValueError: A line is not a task, there is no task of this split, a checker does not compile, or a task of the
            sample has a fault.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"split must be None or one of {', '.join(SPLITS)}, got {split!r}")
    tasks = [task for task in read_tasks(path) if split in (None, task.split)]
    if not tasks:
        raise ValueError(f"{path} must hold tasks of split {split}, got none")
    try:
        verifier.check_tests([HiddenTests(task.signature, task.checker) for task in tasks])
    except ValueError as error:
        raise ValueError(f"{path} must hold tasks whose checkers compile: {error}") from error
    chosen = random.Random(seed).sample(tasks, min(sample, len(tasks)))
    faults = [(task, fault) for task, fault in zip(chosen, find_faults(chosen, verifier), strict=True) if fault]
    if faults:
        told = "; ".join(f"{task.id} ({task.family}): {fault}" for task, fault in faults[:5])
        raise ValueError(
            f"{path} must hold tasks whose cases reject wrong solutions; {len(faults)} of {len(chosen)} do not: {told}"
        )
    return tasks
