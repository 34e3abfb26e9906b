"""
rustc: programs of the Rust compiler's own tests, to be completed and to be repaired, in four categories.

The programs are single-file tests of rust-lang/rust that compile (MIT OR Apache-2.0). *Completion* cuts a function
behind half of its statements; the completion ends the function, and the rest of the file follows. *Repair* shows a
program that one edit has broken, with rustc's message; the edits were found and verified by `build.py`, and all errors
are of the problem's category. An answer counts if it compiles and has kept the program (`kept.py`). Nothing is run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from evaluation.results import Interval, Results
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.verdict import Diagnostic
from evaluation.scoring import check_solutions
from evaluation.suites.problem_files import problems_of, read_lines
from evaluation.suites.program_suite import ProgramSuite
from evaluation.suites.rustc.problems import (
    CATEGORIES,
    TASKS,
    CompletionProblem,
    RustcProblem,
    end_of_answer,
    problem_of,
)
from evaluation.suites.whole_programs import ASK_FOR_PROGRAM

FILE = Path(__file__).with_name("problems.jsonl.gz")


@dataclass(frozen=True)
class Rustc(ProgramSuite):
    """Completions and repairs of programs of the compiler's tests: compiles@k."""

    problems: Sequence[RustcProblem]

    name = "rustc"
    benchmark = "rustc_tests"
    title = "rustc's tests, completed and repaired"
    metric = "compiles"
    instruction = ASK_FOR_PROGRAM
    stop = staticmethod(end_of_answer)
    runs_programs = False

    @classmethod
    def read(cls, path: Path | None = None, skip_bad_rows: bool = False) -> Self:
        """Return the suite with its own problems, or with those of another file that `build.py` wrote."""
        if path is not None and not path.is_file():
            raise ValueError(f"the problems of {cls.name} must be a .jsonl or .jsonl.gz file, got {path}")
        try:
            problems, bad = problems_of(read_lines(path or FILE), problem_of, "name", skip_bad_rows)
        except ValueError as error:
            raise ValueError(
                f"{path or FILE} must hold problems that python -m evaluation.suites.rustc.build wrote: {error}"
            ) from error
        return cls(problems, left_out=tuple(map(str, bad)), source=path)

    def verify(
        self,
        completions: Sequence[Sequence[str | None]],
        verifier: RustVerifier,
        trusted: bool = False,
        progress: bool = False,
    ) -> list[list[Verdict]]:
        """Return the verdicts; a program that compiles and is no solution is refused, with the reason."""
        verdicts = super().verify(completions, verifier, trusted, progress)
        return [
            [
                verdict if text is None else _judged(problem, self.program_of(problem, text), verdict)
                for text, verdict in zip(*each, strict=True)
            ]
            for problem, *each in zip(self.problems, completions, verdicts, strict=True)
        ]

    def check_gold(self, verifier: RustVerifier, progress: bool = False) -> None:
        """
        Check that every original program passes, and that broken programs and functions with `todo!()` do not.

        Raises:
            GoldFailed: Names the problems where that is not so.
        """
        suite = replace(self, chat=None)
        solutions = [[problem.solution] for problem in self.problems]
        check_solutions(self.names, suite.verify(solutions, verifier, trusted=True, progress=progress))
        check_solutions(self.names, suite.verify(self.stubs(), verifier, progress=progress), passes=False)

    def stubs(self) -> list[list[str]]:
        """Return for each problem a completion that must not count: `todo!()`, or the broken program."""
        return [
            ["    todo!()\n}" if isinstance(problem, CompletionProblem) else problem.given]
            for problem in self.problems
        ]

    def further_shares(
        self, results: Results, verdicts: Sequence[Sequence[Verdict]]
    ) -> Mapping[str, Mapping[str, float]]:
        """Return each metric for every task and category."""
        parts = {
            f"{metric}, {task}, {category}": {
                problem.name: values[problem.name]
                for problem in self.problems
                if (problem.task, problem.category) == (task, category)
            }
            for metric, values in results.per_problem.items()
            for task in TASKS
            for category in CATEGORIES
        }
        return {name: values for name, values in parts.items() if values}

    @classmethod
    def index_metrics(cls, results: Results) -> Mapping[str, Interval]:
        """Return the metrics over all problems."""
        return {name: value for name, value in results.metrics.items() if "," not in name}


def _judged(problem: RustcProblem, program: str, verdict: Verdict) -> Verdict:
    objection = problem.objection(program) if verdict.ok else None
    if objection is None:
        return verdict
    return replace(verdict, status="refused", diagnostics=(Diagnostic(None, "refusal", objection),))
