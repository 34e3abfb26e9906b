"""
Tasks: functions that a description asks for, judged by hidden test cases under the rules for rewards.

The problems are the rows of `nanochat-ternary data synth --tasks`, or of the `tasks.jsonl` of a run, without those
that models are trained on: `split` is "train" there. Own rows need `id`, `prompt`, `solution`, `signature` and
`checker`; without a `split` all of them are problems. Beside all tasks the metrics are given for each tier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from evaluation.results import Results
from evaluation.rust import HiddenTests, RustVerifier, Verdict
from evaluation.scoring import check_solutions
from evaluation.suites.problem_files import ProblemsMissing, problems_of, read_lines, text_in
from evaluation.suites.program_suite import Problem, ProgramSuite

TRAINED_ON = "train"


@dataclass(frozen=True)
class TaskProblem(Problem):
    """
    A function to write.

    Attributes:
        name: The task's id.
        prompt: Description and signature, up to the open brace.
        tests: The signature, and the cases that the prompt does not show.
        solution: The rest of the function.
        tier: 0 (one line) to 4 (several functions); None in own rows without it.
        split: "train", or how the task is held out; None in own rows without it.
    """

    tests: HiddenTests
    solution: str
    tier: int | None
    split: str | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Convert a row. Raises `ValueError` for a bad one."""
        name, prompt, solution, signature, checker = (
            text_in(row, column) for column in ("id", "prompt", "solution", "signature", "checker")
        )
        if not prompt.rstrip().endswith("{"):
            raise ValueError("prompt must end with the open brace of a function")
        tier, split = row.get("tier"), row.get("split")
        if not isinstance(tier, int | None) or not isinstance(split, str | None):
            raise ValueError(f"tier must be a whole number and split a text, got {tier!r} and {split!r}")
        # A line break after the brace is the model's to write: its tokenizer may join it with the indentation.
        opening = prompt.rstrip()
        return cls(name, opening, HiddenTests(signature, checker), prompt[len(opening) :] + solution, tier, split)


@dataclass(frozen=True)
class Tasks(ProgramSuite):
    """Held-out tasks with hidden test cases: pass@k over all tasks and over those of each tier."""

    problems: Sequence[TaskProblem]

    name = "tasks"
    benchmark = "tasks"
    title = "Held-out tasks, by hidden test cases"
    metric = "pass"
    rules = "reward"

    @classmethod
    def read(cls, path: Path | None = None, skip_bad_rows: bool = False) -> Self:
        """Return the suite with the tasks of a file that no model is trained on."""
        if path is None:
            raise ProblemsMissing(
                f"{cls.name} needs its problems: write them with nanochat-ternary data synth --tasks, or take the "
                f"tasks.jsonl of a run, and give them with --problems {cls.name}=FILE"
            )
        if not path.is_file():
            raise ValueError(f"the problems of {cls.name} must be a .jsonl or .jsonl.gz file, got {path}")
        try:
            found, bad = problems_of(read_lines(path), TaskProblem.of, "id", skip_bad_rows)
        except ValueError as error:
            raise ValueError(f"{path} must hold tasks, one JSON object per line: {error}") from error
        problems = [problem for problem in found if problem.split != TRAINED_ON]
        if not problems:
            raise ValueError(f"{path} must hold tasks whose split is not {TRAINED_ON}, got {len(found)} that all are")
        return cls(problems, left_out=tuple(map(str, bad)), source=path)

    def check_gold(self, verifier: RustVerifier, progress: bool = False) -> None:
        """
        Check that every solution passes, and that `todo!()` does not.

        Raises:
            GoldFailed: Names the tasks where that is not so.
        """
        suite = replace(self, chat=None)
        solutions = [[problem.solution] for problem in self.problems]
        check_solutions(self.names, suite.verify(solutions, verifier, trusted=True, progress=progress))
        stubs = [["\n    todo!()\n}\n"] for _ in self.problems]
        check_solutions(self.names, suite.verify(stubs, verifier, progress=progress), passes=False)

    def further_shares(
        self, results: Results, verdicts: Sequence[Sequence[Verdict]]
    ) -> Mapping[str, Mapping[str, float]]:
        """Return the share of samples that compile with the signature, and each metric by tier and by split."""
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
