"""What a task is, and how a set of them is loaded: not without looking whether its cases are worth anything."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from evaluation.rust import HiddenTests, RustVerifier, Verdict
from evaluation.rust.verifier import RUNS_OF_SOLUTIONS
from trainers.data.rewriting.bindings import parse, text
from trainers.data.tasks.mutants import constant, mutants
from trainers.data.verify import decided

Split = Literal["train", "held_out_family", "held_out_parameters"]
SPLITS: tuple[str, ...] = Split.__args__
LEAST_CAUGHT = 3
# So many wrong variants of a task are tried, with so many cases at most; further ones only if too few are caught. Who
# fails some of the cases fails them all, and fewer are faster.
ROUNDS = ((3, 5), (3, 20), (6, 1000))
# A test that passes when some case fails. What never ends is left behind in its thread.
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
    What is wrong with each task; None where nothing is: the judge passes the solution under the rules for rewards, in
    each of several runs, and the cases fail for a function that always returns the same, and for at least three wrong
    variants of the solution.

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
    caught, tried = dict.fromkeys(passing, 0), dict.fromkeys(passing, 0)
    for number, cases in ROUNDS:
        doubtful = [index for index in passing if caught[index] < LEAST_CAUGHT]
        chosen = [(index, each.code) for index in doubtful for each in wrong[index][tried[index] :][:number]]
        for (index, _), verdict in zip(chosen, notice(chosen, tasks, verifier, cases), strict=True):
            tried[index] += 1
            caught[index] += verdict.ok
    faults: list[str | None] = []
    for index, verdict in enumerate(verdicts):
        if not verdict.ok:
            why = verdict.diagnostics[0].message if verdict.diagnostics else ""
            faults.append(f"its solution does not pass: {verdict.status} {why}".strip())
        elif index in stays:
            faults.append("a function that always returns the same passes")
        elif caught[index] < LEAST_CAUGHT:
            faults.append(f"only {caught[index]} of {tried[index]} wrong variants fail, {LEAST_CAUGHT} must")
        else:
            faults.append(None)
    return faults


def notice(
    wrong: Sequence[tuple[int, str]], tasks: Sequence[Task], verifier: RustVerifier, cases: int
) -> list[Verdict]:
    """
    Whether the cases of a task notice that a code is wrong. They do where the verdict is `valid`: the code compiles,
    and some case fails or never ends. `tests_failed` says that all cases hold.

    Many are run in one process, which is faster than the judge and enough for codes that do not search for holes.

    Args:
        wrong: Each code with the index of its task.
        tasks: All of them.
        verifier: Compiles and runs.
        cases: At most so many of a task's cases are put to a code.
    """
    verdicts = decided(verifier.verify([code for _, code in wrong]))
    # To know beforehand that a program will compile is cheaper than to build it in vain.
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
    """The checker without the statements that have cases beyond the first `most` of these."""
    function = parse(f"fn checker() {{\n{checker}\n}}").named_child(0)
    kept, found = [], 0
    for statement in function.child_by_field_name("body").named_children:
        found += "check!" in text(statement)
        if "check!" not in text(statement) or found <= most:
            kept.append(text(statement))
    return "\n".join(kept)


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


@dataclass(frozen=True)
class SplitTasks:
    """
    Tasks by what they are for: none is read and practised on.

    Attributes:
        read: Their solutions are trained on.
        practise: Prompts for reinforcement learning.
        held_out: Of families that are trained on, with other parameters; to measure with.
        other_families: Of families that are held out.
    """

    read: list[Task]
    practise: list[Task]
    held_out: list[Task]
    other_families: list[Task]


def split_tasks(tasks: Sequence[Task]) -> SplitTasks:
    """Every second task to train on is read, the others are practised."""
    of_split = {split: [task for task in tasks if task.split == split] for split in SPLITS}
    train = of_split["train"]
    return SplitTasks(train[::2], train[1::2], of_split["held_out_parameters"], of_split["held_out_family"])


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
        ValueError: A line is no task, there is none of this split, a checker does not compile, or a task of the sample
            is not worth rewarding.
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
            f"{path} must hold tasks whose cases tell right from wrong; {len(faults)} of {len(chosen)} do not: {told}"
        )
    return tasks
