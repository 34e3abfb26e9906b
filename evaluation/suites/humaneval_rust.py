"""
HumanEval-Rust: 164 functions to complete, each with its published test.

The rows are those of HumanEvalPack (Muennighoff et al., 2023, arXiv 2308.07124), which restores the test that
HumanEval-X left out. Some need the crates rand, regex or md5, which two small modules beside this file and two
rewritten solutions replace, so that the standard library is enough. A program is the declaration, the completion and
the test, as in the benchmark's own protocol, so that scores are comparable with published ones. It is not fit to be a
reward: a program could cheat a test that is compiled into its own crate.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from evaluation.rust import RustVerifier
from evaluation.scoring import check_solutions
from evaluation.suites.problem_files import HubDataset, problems_of, read_rows, text_in
from evaluation.suites.program_suite import Problem, ProgramSuite

SHIMS = {name: Path(__file__).with_name(f"std_{name}.rs") for name in ("rand", "md5")}

_CRATE_IMPORT = re.compile(r"^[ \t]*(?:use (?:rand|regex|md5)\b|use std::ascii::AsciiExt\b|extern crate )[^;]*;", re.M)
_EMPTY_MAIN = re.compile(r"\A\s*fn main\(\)\s*\{\s*\}")
# The published solutions need the crate regex (91) or do not terminate for some polynomials (32).
REWRITTEN = {
    "Rust/91": """
    let sentences = s.split(|mark: char| mark == '.' || mark == '?' || mark == '!');
    sentences.filter(|sentence| sentence.trim_start().starts_with("I ")).count() as i32
}
""",
    "Rust/32": """
    let (mut low, mut high) = (-1.0f64, 1.0f64);
    while poly(xs, low) * poly(xs, high) > 0.0 {
        low *= 2.0;
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if poly(xs, middle) * poly(xs, low) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}
""",
}


@dataclass(frozen=True)
class HumanEvalProblem(Problem):
    """
    A function of HumanEval.

    Attributes:
        name: Such as "Rust/0".
        prompt: Imports, description and the open function.
        tests: The published test, with the modules that replace crates.
        declaration: The prompt without the description; the program begins with it.
        solution: A body that passes.
        faulty: A body that fails.
    """

    tests: str
    declaration: str
    solution: str
    faulty: str

    @property
    def opening(self) -> str:
        return self.declaration

    def program(self, completion: str) -> str:
        return self.declaration + completion + "\n"

    @classmethod
    def of(cls, row: dict[str, str]) -> Self:
        """Convert a published row, and replace what it needs of crates. Raises `ValueError` for a bad row."""
        for column in ("task_id", "declaration", "prompt", "test", "canonical_solution", "buggy_solution"):
            text_in(row, column)
        if not row["declaration"].rstrip().endswith("{"):
            raise ValueError("declaration must end with the open brace of a function")
        name = row["task_id"]
        declaration, prompt, test = (_without_crates(row[part]) for part in ("declaration", "prompt", "test"))
        # `gen` is a keyword since edition 2024, and the name of the crate's method.
        test = test.replace(".gen()", ".r#gen()")
        solution = REWRITTEN.get(name, row["canonical_solution"])
        text = declaration + test + solution
        shims = [shim.read_text() for crate, shim in SHIMS.items() if f"{crate}::" in text]
        # The tests' `use super::*` brings the trait into their scope.
        imports = "use rand::Rng;\n" if "thread_rng()" in text else ""
        tests = "\n" + "".join(shims) + imports + test
        return cls(name, prompt, tests, declaration, solution, faulty=row["buggy_solution"])


def _without_crates(text: str) -> str:
    return _EMPTY_MAIN.sub("", _CRATE_IMPORT.sub("", text))


class HumanEvalRust(ProgramSuite):
    """HumanEval-Rust: pass@k over 164 problems."""

    name = "humaneval-rust"
    benchmark = "humaneval_rust"
    title = "HumanEval-Rust (HumanEvalPack)"
    metric = "pass"
    training_metric = "humaneval_pass"
    hub_dataset = HubDataset(
        "bigcode/humanevalpack",
        config="rust",
        revision="de0358ef6d0e33a636be7e2607b2fa8303bb8e4a",
        file="data/rust/data/humanevalpack.jsonl",
    )

    @classmethod
    def read(cls, path: Path | None = None, skip_bad_rows: bool = False) -> Self:
        """Return the suite with rows in HumanEvalPack's form; see `ProgramSuite.read` and `read_rows`."""
        rows = read_rows(path, cls.benchmark, cls.name, cls.hub_dataset)
        try:
            problems, bad = problems_of(rows, HumanEvalProblem.of, "task_id", skip_bad_rows)
        except ValueError as error:
            place = path or cls.hub_dataset.repo
            raise ValueError(f"{place} must hold rows of HumanEvalPack, one JSON object per line: {error}") from error
        return cls(problems, left_out=tuple(map(str, bad)), source=path)

    def check_gold(self, verifier: RustVerifier, progress: bool = False) -> None:
        """
        Check that every published solution passes and every published faulty one fails.

        Raises:
            GoldFailed: Names the problems where that is not so.
        """
        suite = replace(self, chat=None)
        solutions = [[problem.solution] for problem in self.problems]
        check_solutions(self.names, suite.verify(solutions, verifier, trusted=True, progress=progress))
        faulty = [[problem.faulty] for problem in self.problems]
        check_solutions(self.names, suite.verify(faulty, verifier, progress=progress), passes=False)
