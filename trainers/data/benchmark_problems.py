"""
Texts of the benchmarks' problems, which training data should not contain.

A benchmark whose scores this project reports must not be trained on. The suites of `evaluation.suites.registry` are
these, and each is a line of one of two tables here. Other collections are read as well, so that a report can count
them, but they may be trained on, because no score of a model is reported for them.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ProblemText:
    """
    A problem of a benchmark.

    Attributes:
        name: Unique in its benchmark.
        texts: Its prompt with each known solution, or the solutions alone; without tests.
        asked: Code with the function to write, up to its brace; empty if the problem asks for no function.
    """

    name: str
    texts: tuple[str, ...]
    asked: str = ""


@dataclass(frozen=True)
class Benchmark:
    """
    The problems of a benchmark.

    Attributes:
        name: Of the suite, or of the file without its ending.
        problems: Its problems.
        scored: Whether this project reports scores of models, so that no training data may contain the problems.
    """

    name: str
    problems: tuple[ProblemText, ...]
    scored: bool = True


@dataclass(frozen=True)
class LoadedBenchmarks:
    """
    The benchmarks that could be read.

    Attributes:
        benchmarks: These benchmarks.
        missing: For each of the others the reason why it was not read.
    """

    benchmarks: tuple[Benchmark, ...]
    missing: Mapping[str, str]

    @property
    def scored(self) -> tuple[Benchmark, ...]:
        """The benchmarks that training data may not contain."""
        return tuple(each for each in self.benchmarks if each.scored)

    def coverage(self) -> str:
        """Return which benchmarks are checked and which are not, and why, in one line each."""
        lines = [
            f"{each.name}: {len(each.problems):,} problems, {'excluded' if each.scored else 'counted, not excluded'}"
            for each in self.benchmarks
        ]
        return "\n".join(lines + [f"{name}: NOT CHECKED, {reason}" for name, reason in self.missing.items()])


Read = Callable[[Path | None], Iterable[ProblemText]]
"""Function that reads the problems of a suite from a file, or from where the suite has them."""


def _humaneval_rust(path: Path | None) -> Iterator[ProblemText]:
    from evaluation.suites.humaneval_rust import HumanEvalProblem, HumanEvalRust

    for problem in HumanEvalRust.read(path).problems:
        assert isinstance(problem, HumanEvalProblem), "its suite made it"
        texts = (problem.prompt + problem.solution, problem.declaration + problem.faulty)
        yield ProblemText(problem.name, texts, problem.declaration)


def _multipl_e_rust(path: Path | None) -> Iterator[ProblemText]:
    from evaluation.suites.multipl_e_rust import MultiplEProblem, MultiplERust

    for problem in MultiplERust.read(path).problems:
        assert isinstance(problem, MultiplEProblem), "its suite made it"
        texts = (problem.prompt,) if problem.reference is None else (problem.prompt, problem.reference)
        yield ProblemText(problem.name, texts, problem.prompt)


def _compile_rate(path: Path | None) -> Iterator[ProblemText]:
    from evaluation.suites.compile_rate import CompileRate, CompileRateProblem

    for problem in CompileRate.read(path).problems:
        assert isinstance(problem, CompileRateProblem), "its suite made it"
        yield ProblemText(problem.name, (problem.prompt + problem.reference,), problem.prompt)


def _semantic(path: Path | None) -> Iterator[ProblemText]:
    from evaluation.suites.semantic.pairs import FILE, read_pairs

    for pair in read_pairs(path or FILE):
        yield ProblemText(pair.name, (pair.valid,))


def _exercism(path: Path | None) -> Iterator[ProblemText]:
    from evaluation.suites.exercism import Exercism

    for problem in Exercism.read(path).problems:
        yield ProblemText(problem.name, (problem.solution, problem.stub))


def _rustc(path: Path | None) -> Iterator[ProblemText]:
    from evaluation.suites.rustc.suite import Rustc

    programs = {problem.reference: problem.source for problem in Rustc.read(path).problems}
    for number, (program, source) in enumerate(programs.items()):
        yield ProblemText(f"{number}: {source}", (program,))


SUITE_PROBLEMS: Mapping[str, Read] = {
    "humaneval-rust": _humaneval_rust,
    "multipl-e-rust": _multipl_e_rust,
    "compile-rate": _compile_rate,
    "semantic": _semantic,
    "exercism": _exercism,
    "rustc": _rustc,
}
"""How the problems of each suite are read. A new suite needs a line here or in `WITHOUT_PROBLEMS`."""
WITHOUT_PROBLEMS = {
    "perplexity": "it measures text of the user, who has to hold it out",
    "performance": "it measures speed",
    "repair": "it asks for the problems of humaneval-rust or compile-rate",
    "tasks": "its problems are generated, and those of a split that is held out are not trained on",
    "crate-holes": "its problems are of crates that the user chose, of which `data holes` holds some out",
}
"""Suites that have no problems of their own, and why."""
FILES: Mapping[str, Callable[[dict[str, Any]], ProblemText]] = {
    "rust_tests_ui": lambda row: ProblemText(row["path"], (row["code"],)),
    "rustc_ui": lambda row: ProblemText(row["id"], (row["code"],)),
}
"""Files `NAME.jsonl.gz` in the folder NANOCHAT_DATA whose texts are counted but may be trained on. Rust by Example is
training data, and no suite uses it."""


def load_benchmarks(problems: Mapping[str, Path] | None = None) -> LoadedBenchmarks:
    """
    Read all benchmarks: those of the suites, then the other files.

    Args:
        problems: Problem files by suite, like `EvaluationSettings.problems`. The problems of other suites are read
            from the folder that NANOCHAT_DATA names, or from the Hub.

    Raises:
        ValueError: A file cannot be read or is for a suite without problems.
    """
    # Imports `datasets`, which takes a second.
    from evaluation.suites.problem_files import ProblemsMissing, read_lines

    problems = problems or {}
    unknown = sorted(set(problems) - set(SUITE_PROBLEMS))
    if unknown:
        raise ValueError(f"problems must be for {', '.join(SUITE_PROBLEMS)}, got {', '.join(unknown)}")
    found, missing = [], {}
    for name, read in SUITE_PROBLEMS.items():
        try:
            found.append(Benchmark(name, tuple(read(problems.get(name)))))
        except ProblemsMissing as error:
            missing[name] = str(error)
    folder = os.environ.get("NANOCHAT_DATA")
    for name, convert in FILES.items():
        if folder and (path := Path(folder, f"{name}.jsonl.gz")).is_file():
            rows = tuple(convert(json.loads(line)) for line in read_lines(path))
            found.append(Benchmark(name, rows, scored=False))
        else:
            missing[name] = f"there is no {name}.jsonl.gz in the folder that NANOCHAT_DATA names"
    return LoadedBenchmarks(tuple(found), missing)
