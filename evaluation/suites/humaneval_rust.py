"""
HumanEval-Rust: 164 functions to complete, each with its published test.

The rows are those of HumanEvalPack (Muennighoff et al., 2023, arXiv 2308.07124), which restores the test that
HumanEval-X left out. They ask for three crates; here all run on the standard library, with the two small modules
beside this file and two rewritten solutions. A program is the declaration, the completion and the test, by the
benchmark's own protocol: comparable with published numbers, and no reward to train with, because a program could cheat
a test in its own crate.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_download

from evaluation.generate import Prompt
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.syntax.answers import extract_rust
from evaluation.rust.syntax.completion import completed_function
from evaluation.rust.syntax.merging import merged_program
from evaluation.scoring import check_solutions, verify_samples
from evaluation.suites.rows import BadRow, ProblemsMissing, problems_of, read_lines, text_in

NAME = "humaneval_rust"
NUM_PROBLEMS = 164
HUB_DATASET = "bigcode/humanevalpack"
HUB_FILE = "data/rust/data/humanevalpack.jsonl"
HUB_REVISION = "de0358ef6d0e33a636be7e2607b2fa8303bb8e4a"
SHIMS = {name: Path(__file__).with_name(f"std_{name}.rs") for name in ("rand", "md5")}

_CRATE_IMPORT = re.compile(r"^[ \t]*(?:use (?:rand|regex|md5)\b|use std::ascii::AsciiExt\b|extern crate )[^;]*;", re.M)
_EMPTY_MAIN = re.compile(r"\A\s*fn main\(\)\s*\{\s*\}")
# The published solutions need the crate regex, and loop for ever on some polynomials.
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
class Problem:
    """
    One function to write.

    Attributes:
        name: Such as "Rust/0".
        prompt: What the model continues: imports, description and the open function.
        declaration: The same without the description; the program begins with it.
        test: What is appended to the program.
        solution: A body that passes.
        faulty: A body that does not.
    """

    name: str
    prompt: str
    declaration: str
    test: str
    solution: str
    faulty: str

    @classmethod
    def of(cls, row: dict[str, str]) -> "Problem":
        """Of a published row, with what it needs of crates replaced. Raises `ValueError`."""
        for column in ("task_id", "declaration", "prompt", "test", "canonical_solution", "buggy_solution"):
            text_in(row, column)
        if not row["declaration"].rstrip().endswith("{"):
            raise ValueError("declaration must end with the open brace of a function")
        name = row["task_id"]
        declaration, prompt, test = (_without_crates(row[part]) for part in ("declaration", "prompt", "test"))
        # A keyword since the edition of 2024, and the method's name in the crate.
        test = test.replace(".gen()", ".r#gen()")
        solution = REWRITTEN.get(name, row["canonical_solution"])
        text = declaration + test + solution
        shims = [shim.read_text() for crate, shim in SHIMS.items() if f"{crate}::" in text]
        # A test's `use super::*` brings the trait into its scope.
        imports = "use rand::Rng;\n" if "thread_rng()" in text else ""
        return cls(name, prompt, declaration, "\n" + "".join(shims) + imports + test, solution, row["buggy_solution"])

    def program(self, body: str) -> str:
        """Without its test."""
        return self.declaration + body + "\n"

    def answered(self, answer: str) -> str:
        """The program of a chat model's answer; one that is not finished leaves the function open."""
        code = extract_rust(answer)
        return self.declaration if code is None else merged_program(self.declaration, code, self.test)


def _without_crates(text: str) -> str:
    return _EMPTY_MAIN.sub("", _CRATE_IMPORT.sub("", text))


def read_problems(path: Path | None = None) -> list[Problem]:
    """The problems of `read_rows`, where no row is bad."""
    return read_rows(path)[0]


def read_rows(path: Path | None = None, skip_bad_rows: bool = False) -> tuple[list[Problem], list[BadRow]]:
    """
    The problems, from a file of HumanEvalPack's rows (.jsonl or .jsonl.gz), else from the folder that NANOCHAT_DATA
    names, else from the Hub; and the rows that were left out.

    Raises:
        ProblemsMissing: No file is named, and the Hub cannot be reached.
        ValueError: There is no such file, or it holds bad rows that are not to be left out.
    """
    folder = os.environ.get("NANOCHAT_DATA")
    if path is None and folder and (Path(folder) / f"{NAME}.jsonl.gz").is_file():
        path = Path(folder) / f"{NAME}.jsonl.gz"
    if path is None:
        try:
            path = Path(hf_hub_download(HUB_DATASET, HUB_FILE, repo_type="dataset", revision=HUB_REVISION))
        except OSError as error:
            raise ProblemsMissing(
                f"HumanEval-Rust needs its problems: {HUB_DATASET} on the Hub cannot be reached. Give its file "
                f"{HUB_FILE} with --problems FILE"
            ) from error
    if not path.is_file():
        raise ValueError(f"the problems must be a file of HumanEvalPack's rows, got {path}")
    lines = read_lines(path)
    try:
        return problems_of(lines, Problem.of, "task_id", skip_bad_rows)
    except ValueError as error:
        raise ValueError(f"{path} must hold HumanEvalPack's rows, one JSON object per line: {error}") from error


class HumanEvalRust:
    """The benchmark: what a model continues, what must hold before, and what the completions are worth."""

    name = NAME
    metric = "pass"
    edition = "2021"
    stop = staticmethod(completed_function)

    def __init__(self, problems: Sequence[Problem], chat: bool = False):
        self.chat = chat
        self.problems = problems
        self.names = [problem.name for problem in problems]

    def prompts(self) -> list[Prompt]:
        """What a model continues."""
        return [Prompt(problem.name, problem.prompt) for problem in self.problems]

    def verify(
        self,
        completions: Sequence[Sequence[str]],
        verifier: RustVerifier,
        trusted: bool = False,
        progress: bool = False,
    ) -> list[list[Verdict]]:
        """The verdict on each problem's completions, or answers if `chat`; see `verify_samples`."""
        pairs = zip(self.problems, completions, strict=True)
        programs = [
            [problem.answered(text) if self.chat else problem.program(text) for text in each]
            for problem, each in pairs
        ]
        tests = [problem.test for problem in self.problems]
        return verify_samples(verifier, programs, tests, trusted=trusted, progress=progress)

    def check_gold(self, verifier: RustVerifier, progress: bool = False) -> None:
        """
        Raises:
            GoldFailed: A published solution does not pass, or a published faulty one does.
        """
        completing = HumanEvalRust(self.problems)
        solutions = [[problem.solution] for problem in self.problems]
        check_solutions(self.names, completing.verify(solutions, verifier, trusted=True, progress=progress))
        faulty = [[problem.faulty] for problem in self.problems]
        check_solutions(self.names, completing.verify(faulty, verifier, progress=progress), passes=False)
