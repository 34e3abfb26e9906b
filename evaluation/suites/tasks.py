"""
Tasks: functions and programs that a description asks for, judged by hidden tests under the rules for rewards.

The problems are the rows of a file that `data.task_file` of a recipe takes, too: those of `nanochat-ternary data synth
--tasks`, of the `tasks.jsonl` or `own_tasks.jsonl` of a run, or the user's own (`OwnTask`). Rows whose `split` is
"train" are left out, because models are trained on them. Beside all tasks the metrics are given for each tier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from evaluation.chat_mode import PLACE
from evaluation.own_task import OwnTask
from evaluation.results import Results
from evaluation.rust import HiddenTests, RustVerifier, StdinTests, Verdict
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.syntax.answers import extract_rust
from evaluation.scoring import GoldFailed, check_solutions, verify_samples
from evaluation.settings import EvaluationSettings
from evaluation.suites.problem_files import ProblemsMissing, problems_of, read_lines
from evaluation.suites.program_suite import Problem, ProgramSuite

TRAINED_ON = "train"


@dataclass(frozen=True)
class TaskProblem(Problem):
    """
    A function or program to write.

    Attributes:
        name: The task's id.
        prompt: Description and signature, up to the open brace; of a conversation the message of the user.
        tests: The tests, which the prompt does not show.
        is_chat: Whether the prompt is a message, which asks for a whole program.
        solution: The rest of the function, or a whole program; None in own rows without it.
        tier: 0 (one line) to 4 (several functions); None in own rows without it.
        split: "train", or how the task is held out; None in own rows without it.
    """

    tests: HiddenTests | StdinTests
    is_chat: bool
    solution: str | None
    tier: int | None
    split: str | None

    @property
    def opening(self) -> str:
        return "" if self.is_chat else self.prompt

    def program_of_answer(self, answer: str) -> str:
        return extract_rust(answer) or "" if self.is_chat else super().program_of_answer(answer)

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Convert a row. Raises `ValueError` for a bad one."""
        task, split = OwnTask.of_row(row), row.get("split")
        if isinstance(task.tests, HoleTests):
            raise ValueError(
                "tests must be hidden tests or stdin tests, got those of a crate: the suite crate-holes takes rows of "
                "nanochat-ternary data holes"
            )
        if not isinstance(split, str | None):
            raise ValueError(f"split must be a text, got {split!r}")
        if isinstance(task.prompt, str):
            prompt = task.prompt
        elif len(task.prompt) == 1:
            prompt = task.prompt[0]["content"]
        else:
            raise ValueError(f"messages must be one message of the user, got {len(task.prompt)}")
        tier = None if row.get("tier") is None else task.tier
        return cls(task.id, prompt, task.tests, task.is_chat, task.solution, tier, split or None)


@dataclass(frozen=True)
class Tasks(ProgramSuite):
    """Held-out tasks with hidden tests: pass@k over all tasks and over those of each tier."""

    problems: Sequence[TaskProblem]

    name = "tasks"
    benchmark = "tasks"
    title = "Held-out tasks, by hidden tests"
    metric = "pass"
    rules = "reward"

    @classmethod
    def read(cls, path: Path | None = None, skip_bad_rows: bool = False) -> Self:
        """Return the suite with the tasks of a file that no model is trained on."""
        if path is None:
            raise ProblemsMissing(
                f"{cls.name} needs its problems: write them with nanochat-ternary data synth --tasks, take the "
                f"tasks.jsonl of a run, or write your own (docs/tasks.md), and give them with --problems "
                f"{cls.name}=FILE"
            )
        if not path.is_file():
            raise ValueError(f"the problems of {cls.name} must be a .jsonl or .jsonl.gz file, got {path}")
        try:
            found, bad = problems_of(read_lines(path), TaskProblem.of, None, skip_bad_rows)
        except ValueError as error:
            raise ValueError(f"{path} must hold tasks, one JSON object per line: {error}") from error
        problems = [problem for problem in found if problem.split != TRAINED_ON]
        if not problems:
            raise ValueError(
                f"{path} must hold tasks whose split is not {TRAINED_ON}, got {len(found)} that all are: without the "
                "column split, all tasks are measured"
            )
        if len({problem.is_chat for problem in problems}) > 1:
            raise ValueError(f"{path} must hold only prompts or only messages, got both")
        return cls(problems, left_out=tuple(map(str, bad)), source=path)

    @classmethod
    def load(cls, settings: EvaluationSettings) -> Self:
        suite = super().load(settings)
        if not suite.problems[0].is_chat:
            return suite
        if suite.chat is None:
            raise ValueError(f"the problems of {cls.name} in {suite.source} are messages, which need --chat")
        return replace(suite, chat=suite.chat.asking_by_default(PLACE))

    def check_gold(self, verifier: RustVerifier, progress: bool = False) -> None:
        """
        Check that tests compile, that every solution passes, and that an empty answer does not.

        Raises:
            GoldFailed: Names the tasks where that is not so.
        """
        self._check_tests(verifier)
        suite = replace(self, chat=None)
        solved = [(problem, problem.solution) for problem in self.problems if problem.solution is not None]
        if solved:
            suite = replace(suite, problems=[problem for problem, _ in solved])
            solutions = [[solution] for _, solution in solved]
            check_solutions(suite.names, suite.verify(solutions, verifier, trusted=True, progress=progress))
        empty = [["fn main() {}" if problem.is_chat else f"{problem.prompt}}}"] for problem in self.problems]
        # The rules for rewards would refuse an empty answer, whatever the tests say about it.
        verdicts = verify_samples(verifier, empty, [problem.tests for problem in self.problems], progress=progress)
        check_solutions(self.names, verdicts, passes=False)

    def _check_tests(self, verifier: RustVerifier) -> None:
        """Raise `GoldFailed` with the tasks whose hidden tests do not compile."""
        hidden = {problem.name: problem.tests for problem in self.problems if isinstance(problem.tests, HiddenTests)}
        try:
            verifier.check_tests(list(hidden.values()))
        except ValueError:
            faults: dict[str, str] = {}
            for name, tests in hidden.items():
                try:
                    verifier.check_tests([tests])
                except ValueError as error:
                    faults[name] = str(error)
            if faults:
                raise GoldFailed("tests do not compile", faults) from None

    def further_shares(
        self, results: Results, verdicts: Sequence[Sequence[Verdict]]
    ) -> Mapping[str, Mapping[str, float]]:
        """Return the share of samples that compile (with their signature), and each metric by tier and by split."""
        found: dict[str, Mapping[str, float]] = {
            "compiles@1": {
                problem.name: sum(set(verdict.checks.values()) == {"ok"} for verdict in each) / len(each)
                for problem, each in zip(self.problems, verdicts, strict=True)
            }
        }
        for metric, values in results.per_problem.items():
            for tier in sorted({problem.tier for problem in self.problems if problem.tier is not None}):
                own = {each.name: values[each.name] for each in self.problems if each.tier == tier}
                found[f"{metric}, tier {tier}"] = own
            splits = sorted({problem.split for problem in self.problems if problem.split is not None})
            # Families that no model is trained on are harder than known ones with other parameters.
            for split in splits if len(splits) > 1 else ():
                own = {each.name: values[each.name] for each in self.problems if each.split == split}
                found[f"{metric}, {split}"] = own
        return found
