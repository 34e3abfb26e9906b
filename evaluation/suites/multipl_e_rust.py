"""
Benchmarks in MultiPL-E's form: functions translated from Python, with a `main` of assertions.

It follows MultiPL-E's harness (Cassano et al., 2022, arXiv 2208.08227), so that scores are comparable with published
ones: the completion ends before the first closing brace at the start of a line, and the edition is 2015, because the
harness gives rustc none. HumanEval has 156 problems in this form, not 164, and no published solutions. Other files of
the form, such as MBPP's, are benchmarks of their own name. The license of the problems forbids training on them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from tree_sitter import Parser

from evaluation.rust import RustVerifier
from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.nodes import name_of
from evaluation.scoring import GoldFailed, check_solutions, verify_samples
from evaluation.suites.problem_files import HubDataset, problems_of, read_rows, text_in
from evaluation.suites.program_suite import Problem, ProgramSuite

STOP = "\n}"
SUFFIX = "_rust_multiple"
FORM = "it has another form than MultiPL-E's Rust"


@dataclass(frozen=True)
class MultiplEProblem(Problem):
    """
    A function of a benchmark in MultiPL-E's form.

    Attributes:
        name: Such as "HumanEval_23_strlen".
        prompt: Description and the open function.
        tests: A `fn main` that is appended to the program.
        reference: A whole program that passes, if there is one.
    """

    tests: str
    reference: str | None = None

    @classmethod
    def of(cls, row: dict) -> Self:
        """Convert a published row, whose tests begin with the brace that closes the function. Raises `ValueError`."""
        name, prompt, tests = (text_in(row, column) for column in ("name", "prompt", "tests"))
        if not tests.startswith("}"):
            raise ValueError(f"{FORM}: tests must begin with the function's brace")
        stop = row.get("stop_tokens")
        if stop != [STOP]:
            raise ValueError(f"{FORM}: stop_tokens must be {[STOP]}, got {stop}")
        if not _has_main(tests[1:]):
            raise ValueError(f"{FORM}: tests must have a main with assertions")
        if not prompt.rstrip().endswith("{"):
            raise ValueError("prompt must end with the open brace of a function")
        reference = None if row.get("gpt4_reference") is None else text_in(row, "gpt4_reference")
        return cls(name, prompt.strip(), tests[1:], reference)

    def program(self, completion: str) -> str:
        return f"{self.prompt}{completion}\n}}\n"


def _has_main(tests: str) -> bool:
    root = Parser(RUST).parse(tests.encode("utf-8", "surrogatepass")).root_node
    functions = [node for node in root.named_children if node.type == "function_item"]
    mains = [node for node in functions if name_of(node) == "main"]
    return not root.has_error and len(mains) == 1 and b"assert" in mains[0].text


def before_closing_brace(prompt: str, completion: str) -> str | None:
    """Return the completion before its first line that begins with a closing brace; None while there is none."""
    body, found, _ = completion.partition(STOP)
    return body if found else None


class MultiplERust(ProgramSuite):
    """A benchmark in MultiPL-E's form, by default HumanEval's: pass@k."""

    name = "multipl-e-rust"
    benchmark = "humaneval_rust_multiple"
    title = "HumanEval-Rust (MultiPL-E)"
    metric = "pass"
    edition = "2015"
    stop = staticmethod(before_closing_brace)
    hub_dataset = HubDataset("nuprl/MultiPL-E", config="humaneval-rs")

    @property
    def results_name(self) -> str:
        """Name that the problems' names begin with: `humaneval_rust_multiple`, `mbpp_rust_multiple`, ..."""
        origins = {problem.name.partition("_")[0].lower() for problem in self.problems}
        origin = origins.pop() if len(origins) == 1 else "other"
        return (origin if origin.isalnum() else "other") + SUFFIX

    @classmethod
    def wrote(cls, benchmark: str) -> bool:
        return benchmark.endswith(SUFFIX)

    @classmethod
    def read(cls, path: Path | None = None, skip_bad_rows: bool = False) -> Self:
        """Return the suite with rows in MultiPL-E's form; see `ProgramSuite.read` and `read_rows`."""
        rows = read_rows(path, cls.benchmark, cls.name, cls.hub_dataset)
        try:
            problems, bad = problems_of(rows, MultiplEProblem.of, "name", skip_bad_rows)
        except ValueError as error:
            raise ValueError(
                f"{path or cls.hub_dataset.repo} must hold rows in MultiPL-E's form, one JSON object per line: {error}"
            ) from error
        return cls(problems, left_out=tuple(map(str, bad)), source=path)

    def check_gold(self, verifier: RustVerifier, progress: bool = False) -> None:
        """
        Check that every reference passes, and that every function with the body `todo!()` compiles and fails.

        Raises:
            GoldFailed: Names the problems where that is not so.
        """
        known = [problem for problem in self.problems if problem.reference is not None]
        if known:
            programs = [[f"{problem.reference}\n"] for problem in known]
            tests = [problem.tests for problem in known]
            verdicts = verify_samples(verifier, programs, tests, trusted=True, progress=progress)
            check_solutions([problem.name for problem in known], verdicts)
        bodies = [["\n    todo!()"] for _ in self.problems]
        unwritten = replace(self, chat=None).verify(bodies, verifier, progress=progress)
        check_solutions(self.names, unwritten, passes=False)
        pairs = zip(self.names, unwritten, strict=True)
        broken = {name: each.status for name, (each,) in pairs if each.status != "tests_failed"}
        if broken:
            raise GoldFailed("these do not compile", broken)
