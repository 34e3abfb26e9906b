"""
Exercism: exercises of the Rust track (MIT), from a stub to a solution, with their official tests.

The prompt is a comment with the instructions and the stub; a base model writes the whole `lib.rs` behind it. Its
completion ends where the model ends the file, or before an item that the file does not need once all items of the stub
are defined (`completed_file_with_helpers`). A chat model is asked for the whole file. The tests are compiled into a
module of the solution's crate, which is also known by the exercise's name, and all run, with those that are ignored at
first. Unlike cargo's tests they can therefore use private items.

Only exercises that need the standard library alone can run; files of exercises mark them by `verified: "pass"`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from evaluation.generate import Sample
from evaluation.results import Results
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.syntax.answers import extract_rust
from evaluation.scoring import check_solutions, verify_samples
from evaluation.suites.problem_files import ProblemsMissing, data_file, problems_of, read_lines, text_in
from evaluation.suites.program_suite import Problem, ProgramSuite
from evaluation.suites.whole_programs import (
    as_comment,
    completed_file_with_helpers,
    longest_completed_file,
    program_block,
)

INSTRUCTION = """Solve this exercise in Rust with the standard library alone.

{prompt}

Answer with the whole file `src/lib.rs`, in one block of Rust."""


@dataclass(frozen=True)
class ExercismProblem(Problem):
    """
    An exercise.

    Attributes:
        name: Its slug, such as "simple-linked-list".
        prompt: Comment with the instructions and the stub.
        tests: The official tests, as a module.
        instructions: Markdown.
        stub: The file with which a student begins.
        solution: The example solution.
    """

    tests: str
    instructions: str
    stub: str
    solution: str

    @property
    def chat_prompt(self) -> str:
        """The exercise, for an instruction-tuned model."""
        return f"{self.instructions.strip()}\n\nIt begins with this stub:\n\n```rust\n{self.stub.rstrip()}\n```"

    def program(self, completion: str) -> str:
        return completion + "\n"

    def program_of_answer(self, answer: str) -> str:
        return (extract_rust(answer) or "") + "\n"

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Convert a row. Raises `ValueError` for a bad one."""
        slug, crate, instructions = (text_in(row, column) for column in ("slug", "name", "instructions"))
        stub, solution = _only_file(row, "stub"), _only_file(row, "example")
        modules = "\n".join(f"mod nanochat_{index} {{\n{text}\n}}" for index, text in enumerate(_files(row, "tests")))
        tests = f"extern crate self as {crate};\n#[cfg(test)]\nmod exercise {{\n{modules}\n}}\n"
        prompt = as_comment(instructions, "//!") + "//!\n//! The stub:\n//!\n" + program_block(stub, "//!") + "\n"
        return cls(slug, prompt, tests, instructions, stub, solution)


def _files(row: dict[str, Any], column: str) -> list[str]:
    files = row.get(column)
    if not isinstance(files, dict) or not files or not all(isinstance(text, str) for text in files.values()):
        raise ValueError(f"the column {column} must be an object of texts by path, got {type(files).__name__}")
    return list(files.values())


def _only_file(row: dict[str, Any], column: str) -> str:
    files = _files(row, column)
    if len(files) > 1:
        raise ValueError(f"the column {column} must have one file, got {len(files)}")
    return files[0]


@dataclass(frozen=True)
class Exercism(ProgramSuite):
    """
    Exercises of Exercism's Rust track: share that is solved, and share of the tests that pass.

    Attributes:
        unusable: Exercises of the file that need more than the standard library, with the reason.
    """

    problems: Sequence[ExercismProblem]
    unusable: tuple[str, ...] = ()

    name = "exercism"
    benchmark = "exercism_rust"
    title = "Exercism's Rust track"
    metric = "solved"
    instruction = INSTRUCTION
    edition = "2024"
    least_run_timeout = 30.0  # the tests of palindrome-products take 10 s on an idle processor, without optimization
    stop = staticmethod(completed_file_with_helpers)

    @classmethod
    def read(cls, path: Path | None = None, skip_bad_rows: bool = False) -> Self:
        """Return the suite with the exercises of a file; see `ProgramSuite.read`."""
        path = path or data_file(cls.benchmark)
        if path is None:
            raise ProblemsMissing(
                f"{cls.name} needs its problems: give a file with --problems {cls.name}=FILE, or set NANOCHAT_DATA to "
                f"a folder with {cls.benchmark}.jsonl.gz"
            )
        if not path.is_file():
            raise ValueError(f"the problems of {cls.name} must be a .jsonl or .jsonl.gz file, got {path}")
        lines = read_lines(path)
        unusable = [slug_and_reason for line in lines if (slug_and_reason := _unusable(line)) is not None]
        usable = [line for line in lines if _unusable(line) is None]
        try:
            problems, bad = problems_of(usable, ExercismProblem.of, "slug", skip_bad_rows)
        except ValueError as error:
            raise ValueError(f"{path} must hold exercises, one JSON object per line: {error}") from error
        return cls(problems, left_out=tuple(map(str, bad)), source=path, unusable=tuple(unusable))

    def finished_completion(self, sample: Sample) -> str | None:
        """Return the completion, up to its last item if it reached its limit; None if the stub has an item more."""
        if not sample.reached_limit or self.chat is not None:
            return super().finished_completion(sample)
        prompt = next(problem.prompt for problem in self.problems if problem.name == sample.prompt)
        return longest_completed_file(prompt, sample.completion)

    def check_gold(self, verifier: RustVerifier, progress: bool = False) -> None:
        """
        Check that every example solution passes all tests, and that every stub fails.

        Raises:
            GoldFailed: Names the exercises where that is not so.
        """
        tests = [problem.tests for problem in self.problems]
        solutions = [[problem.solution] for problem in self.problems]
        verdicts = verify_samples(verifier, solutions, tests, trusted=True, progress=progress)
        check_solutions(self.names, verdicts)
        stubs = [[problem.stub] for problem in self.problems]
        check_solutions(self.names, verify_samples(verifier, stubs, tests, progress=progress), passes=False)

    def further_shares(
        self, results: Results, verdicts: Sequence[Sequence[Verdict]]
    ) -> Mapping[str, Mapping[str, float]]:
        """Return the share of the tests that pass, a mean over the samples; none pass if the code does not compile."""
        shares = {
            name: sum(each.tests_passed / max(each.tests_total, 1) for each in own) / len(own)
            for name, own in zip(self.names, verdicts, strict=True)
        }
        return {"test_pass_rate": shares}

    def details(self, samples: Sequence[Sample]) -> dict[str, Any]:
        return super().details(samples) | {"not_std_only": list(self.unusable)}


def _unusable(line: str) -> str | None:
    """Return name and reason of an exercise that is marked as needing more than the standard library."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    verified = row.get("verified", "pass") if isinstance(row, dict) else "pass"
    return None if verified == "pass" else f"{row.get('slug')}: {verified}"
