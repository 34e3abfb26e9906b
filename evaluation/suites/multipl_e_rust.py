"""
HumanEval in MultiPL-E's form: 156 functions that were translated from Python, with a `main` of assertions.

For comparison with numbers published for it (Cassano et al., 2022, arXiv 2208.08227): the completion ends before the
first closing brace at the start of a line, and the edition is 2015, because their harness gives rustc none. There are
156 problems, not 164, and no published solutions. Their licence forbids to train on them.
"""

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets import load_dataset

from evaluation.generate import Prompt
from evaluation.rust import RustVerifier, Verdict
from evaluation.scoring import GoldFailed, check_solutions, verify_samples

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
        if not row["tests"].startswith("}") or list(row["stop_tokens"]) != [STOP]:
            raise ValueError(f"{row['name']} has another form than MultiPL-E's Rust")
        return cls(row["name"], row["prompt"].strip(), row["tests"][1:], row.get("gpt4_reference"))

    def program(self, body: str) -> str:
        """Without its test."""
        return f"{self.prompt}{body}\n}}\n"


def before_closing_brace(prompt: str, completion: str) -> str | None:
    """The completion before its first line that begins with a closing brace; None while there is none."""
    body, found, _ = completion.partition(STOP)
    return body if found else None


def read_problems(path: Path | None = None) -> list[Problem]:
    """
    The problems, from a file of MultiPL-E's rows (.jsonl or .jsonl.gz), else from the folder that NANOCHAT_DATA names,
    else from the Hub.

    Raises:
        ValueError: There is no such file, it holds other rows, or the Hub cannot be reached.
    """
    folder = os.environ.get("NANOCHAT_DATA")
    if path is None and folder and (Path(folder) / f"{NAME}.jsonl.gz").is_file():
        path = Path(folder) / f"{NAME}.jsonl.gz"
    try:
        if path is None:
            rows = list(load_dataset(HUB_DATASET, HUB_CONFIG, split="test"))
        else:
            with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
                rows = [json.loads(line) for line in file]
        return [Problem.of(row) for row in rows]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"MultiPL-E needs its problems: {HUB_DATASET} ({HUB_CONFIG}) on the Hub, or its rows in a file with "
            f"--multipl-e FILE, got {error!r}"
        ) from error


class MultiplERust:
    """The benchmark: what a model continues, what must hold before, and what the completions are worth."""

    name = NAME
    metric = "pass"
    edition = "2015"
    stop = staticmethod(before_closing_brace)

    def __init__(self, problems: Sequence[Problem]):
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
        """The verdict on each problem's completions; see `verify_samples`."""
        pairs = zip(self.problems, completions, strict=True)
        programs = [[problem.program(body) for body in each] for problem, each in pairs]
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
        unwritten = self.verify([["\n    todo!()"]] * len(self.problems), verifier, progress=progress)
        check_solutions(self.names, unwritten, passes=False)
        broken = [name for name, (each,) in zip(self.names, unwritten, strict=True) if each.status != "tests_failed"]
        if broken:
            raise GoldFailed(f"nothing is scored: these do not compile on this machine: {', '.join(broken[:10])}")
