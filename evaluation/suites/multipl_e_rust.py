"""
Benchmarks in MultiPL-E's form: functions that were translated from Python, with a `main` of assertions.

For comparison with numbers published for it (Cassano et al., 2022, arXiv 2208.08227): the completion ends before the
first closing brace at the start of a line, and the edition is 2015, because their harness gives rustc none. HumanEval
has 156 problems in this form, not 164, and no published solutions; other files of the form, such as MBPP's, are
benchmarks of their own name. The licence forbids to train on them.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import load_dataset
from tree_sitter import Parser

from evaluation.generate import Prompt
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.answers import extract_rust
from evaluation.rust.syntax.merging import merged_program
from evaluation.rust.syntax.nodes import name_of
from evaluation.scoring import GoldFailed, check_solutions, verify_samples
from evaluation.suites.rows import BadRow, ProblemsMissing, problems_of, read_lines, text_in

NAME = "humaneval_rust_multiple"
HUB_DATASET, HUB_CONFIG = "nuprl/MultiPL-E", "humaneval-rs"
STOP = "\n}"


@dataclass(frozen=True)
class Problem:
    """
    One function to write.

    Attributes:
        name: Such as "HumanEval_23_strlen".
        prompt: Description and the open function.
        test: A `fn main` that is appended to the program.
        reference: A whole program that passes, where there is one.
    """

    name: str
    prompt: str
    test: str
    reference: str | None = None

    @classmethod
    def of(cls, row: dict) -> "Problem":
        """Of a published row, whose test begins with the brace that closes the function."""
        name, prompt, tests = (text_in(row, column) for column in ("name", "prompt", "tests"))
        if not tests.startswith("}"):
            raise ValueError("it has another form than MultiPL-E's Rust: tests must begin with the function's brace")
        stop = row.get("stop_tokens")
        if stop != [STOP]:
            raise ValueError(f"it has another form than MultiPL-E's Rust: stop_tokens must be {[STOP]}, got {stop}")
        if not _has_main(tests[1:]):
            raise ValueError("it has another form than MultiPL-E's Rust: tests must have a main with assertions")
        if not prompt.rstrip().endswith("{"):
            raise ValueError("prompt must end with the open brace of a function")
        reference = None if row.get("gpt4_reference") is None else text_in(row, "gpt4_reference")
        return cls(name, prompt.strip(), tests[1:], reference)

    def program(self, body: str) -> str:
        """Without its test."""
        return f"{self.prompt}{body}\n}}\n"

    def answered(self, answer: str) -> str:
        """The program of a chat model's answer; one that is not finished leaves the function open."""
        code = extract_rust(answer)
        return self.prompt if code is None else merged_program(self.prompt, code, self.test)


def _has_main(tests: str) -> bool:
    root = Parser(RUST).parse(tests.encode("utf-8", "surrogatepass")).root_node
    functions = [node for node in root.named_children if node.type == "function_item"]
    mains = [node for node in functions if name_of(node) == "main"]
    return not root.has_error and len(mains) == 1 and b"assert" in mains[0].text


def before_closing_brace(prompt: str, completion: str) -> str | None:
    """The completion before its first line that begins with a closing brace; None while there is none."""
    body, found, _ = completion.partition(STOP)
    return body if found else None


def read_problems(path: Path | None = None) -> list[Problem]:
    """The problems of `read_rows`, where no row is bad."""
    return read_rows(path)[0]


def read_rows(path: Path | None = None, skip_bad_rows: bool = False) -> tuple[list[Problem], list[BadRow]]:
    """
    The problems, from a file of MultiPL-E's rows (.jsonl or .jsonl.gz), else from the folder that NANOCHAT_DATA names,
    else from the Hub; and the rows that were left out.

    Raises:
        ProblemsMissing: No file is named, and the Hub cannot be reached.
        ValueError: There is no such file, or it holds bad rows that are not to be left out.
    """
    folder = os.environ.get("NANOCHAT_DATA")
    if path is None and folder and (Path(folder) / f"{NAME}.jsonl.gz").is_file():
        path = Path(folder) / f"{NAME}.jsonl.gz"
    try:
        rows = list(load_dataset(HUB_DATASET, HUB_CONFIG, split="test")) if path is None else read_lines(path)
    except OSError as error:
        raise ProblemsMissing(
            f"MultiPL-E needs its problems: {HUB_DATASET} ({HUB_CONFIG}) on the Hub cannot be reached. Give its rows "
            "with --multipl-e FILE"
        ) from error
    try:
        return problems_of(rows, Problem.of, "name", skip_bad_rows)
    except ValueError as error:
        raise ValueError(f"{path or HUB_DATASET} must hold rows in MultiPL-E's form: {error}") from error


def benchmark_of(problems: Sequence[Problem]) -> str:
    """The benchmark that the problems' names begin with: `humaneval_rust_multiple`, `mbpp_rust_multiple`, ..."""
    origins = {problem.name.partition("_")[0].lower() for problem in problems}
    origin = origins.pop() if len(origins) == 1 else "other"
    return f"{origin if origin.isalnum() else 'other'}_rust_multiple"


class MultiplERust:
    """The benchmark: what a model continues, what must hold before, and what the completions are worth."""

    metric = "pass"
    edition = "2015"
    stop = staticmethod(before_closing_brace)

    def __init__(self, problems: Sequence[Problem], chat: bool = False):
        self.name = benchmark_of(problems)
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
            GoldFailed: A reference does not pass, where there are any, or an unwritten function does not compile and
                fail.
        """
        known = [problem for problem in self.problems if problem.reference is not None]
        if known:
            programs = [[f"{problem.reference}\n"] for problem in known]
            verdicts = verify_samples(
                verifier, programs, [each.test for each in known], trusted=True, progress=progress
            )
            check_solutions([problem.name for problem in known], verdicts)
        unwritten = MultiplERust(self.problems).verify(
            [["\n    todo!()"]] * len(self.problems), verifier, progress=progress
        )
        check_solutions(self.names, unwritten, passes=False)
        pairs = zip(self.names, unwritten, strict=True)
        broken = {name: each.status for name, (each,) in pairs if each.status != "tests_failed"}
        if broken:
            raise GoldFailed("these do not compile", broken)
