"""
Decontamination: training data without the problems of benchmarks.

A document matches a problem by one of three rules, after its test modules and test functions are removed:

- words: 13 consecutive words are equal to 13 of the problem's description or of one of its solutions. Words are names,
  keywords and numbers, also of comments and strings, without punctuation. Both texts are compared with and without
  their comments. At least six of the 13 must be distinct names, so that `0, 1, 2, ..` or `'a', 'b', 'c', ..` is no
  match;
- solution: it has the whole of a solution of 8 to 12 words, whose function has a name of at least two words;
- signature: it has a function with the name and types of one that the problem asks for, and few would choose them by
  chance: `fn has_close_elements(numbers: &[f64], threshold: f64) -> bool`, but not `fn add(a: i32, b: i32) -> i32`.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from rich.table import Table

from trainers.data.benchmark_problems import Benchmark, ProblemText
from trainers.data.code_tokens import WORD, token_hashes, window_hashes, without_comments, without_tests
from trainers.data.function_signatures import FUNCTION, MAX_CHARACTERS, function_signatures, is_specific
from trainers.data.sources import read_builtin

WINDOW = 13
MIN_NAMES = 6
MIN_SOLUTION = 8
"""Words of the shortest solution that is searched for as a whole."""
Rule = Literal["words", "solution", "signature"]
RULES: tuple[Rule, ...] = get_args(Rule)
_SPACES = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class Match:
    """
    A problem that a document contains.

    Attributes:
        benchmark: Name of the benchmark.
        problem: Name of the problem.
        rule: Which rule it matches by.
        words: The words, or the signature.
        scored: Whether scores are reported for the benchmark, so that the document must not be trained on.
    """

    benchmark: str
    problem: str
    rule: Rule
    words: str
    scored: bool


class Contamination:
    """
    Search for problems of benchmarks in documents. May be copied to other processes.

    Args:
        benchmarks: What to search for. Of several matches that of the first benchmark is returned, and those with
            scores come before the others.
    """

    def __init__(self, benchmarks: Sequence[Benchmark]):
        self.benchmarks = tuple(sorted(benchmarks, key=lambda benchmark: not benchmark.scored))
        self._owners = [(benchmark, problem) for benchmark in self.benchmarks for problem in benchmark.problems]
        windows: dict[int, int] = {}
        self._solutions: dict[str, list[tuple[int, list[str]]]] = {}
        self._signatures: dict[str, int] = {}
        for owner, (_, problem) in enumerate(self._owners):
            for text in map(without_tests, problem.texts):
                for words in map(WORD.findall, _versions(text)):
                    for start, value in enumerate(window_hashes(token_hashes(words), WINDOW).tolist()):
                        if _has_names(words[start : start + WINDOW]):
                            windows.setdefault(value, owner)
                for name, words in _short_solutions(text):
                    self._solutions.setdefault(name, []).append((owner, words))
            for signature in function_signatures(without_comments(problem.asked)):
                if is_specific(signature):
                    self._signatures.setdefault(signature, owner)
        # Sorted, and the last value is greater than any other, so that a search always finds a position.
        hashes = np.array(sorted(windows), np.uint64)
        self._hashes = np.append(hashes, np.uint64(2**64 - 1))
        self._windows = np.array([windows[value] for value in hashes.tolist()] + [-1], np.int64)
        self._names = {signature.partition("(")[0] for signature in self._signatures} | set(self._solutions)

    def check(self, code: str) -> Match | None:
        """Return the problem that a document contains, or None."""
        versions = _versions(without_tests(code))
        found = [match for version in versions for match in self._by_words(version)]
        names = self._names.intersection(FUNCTION.findall(versions[-1]))
        if names:
            found += [*self._by_solution(versions[-1], names), *self._by_signature(versions[-1], names)]
        if not found:
            return None
        owner, rule, words = min(found, key=lambda match: match[0])
        benchmark, problem = self._owners[owner]
        return Match(benchmark.name, problem.name, rule, words, benchmark.scored)

    def _by_words(self, code: str) -> Iterator[tuple[int, Rule, str]]:
        words = WORD.findall(code)
        hashes = window_hashes(token_hashes(words), WINDOW)
        positions = np.searchsorted(self._hashes, hashes)
        there = np.flatnonzero(self._hashes[positions] == hashes)
        if len(there):
            owners = self._windows[positions[there]]
            first = int(owners.argmin())
            start = int(there[first])
            yield int(owners[first]), "words", " ".join(words[start : start + WINDOW])

    def _by_solution(self, code: str, names: Collection[str]) -> Iterator[tuple[int, Rule, str]]:
        for function in FUNCTION.finditer(code):
            if function[1] in names:
                words = WORD.findall(code[function.start() : function.start() + MAX_CHARACTERS])
                for owner, solution in self._solutions.get(function[1], ()):
                    if words[: len(solution)] == solution:
                        yield owner, "solution", " ".join(solution)

    def _by_signature(self, code: str, names: Collection[str]) -> Iterator[tuple[int, Rule, str]]:
        for signature in function_signatures(code, names):
            owner = self._signatures.get(signature)
            if owner is not None:
                yield owner, "signature", signature


def _versions(code: str) -> list[str]:
    """Return a text, and if it has comments also the text without them."""
    return [code, without_comments(code)] if "//" in code or "/*" in code else [code]


def _short_solutions(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield name and words of a function that is a solution and too short for a window."""
    code = _versions(text)[-1]
    for function in FUNCTION.finditer(code):
        words = WORD.findall(code[function.start() :])
        is_short = MIN_SOLUTION <= len(words) < WINDOW and not is_open(code)
        if is_short and "_" in function[1].strip("_"):
            yield function[1], words


def is_open(code: str) -> bool:
    """Whether code ends with the brace of a function without a body."""
    return code.rstrip().endswith("{")


def _has_names(words: Sequence[str]) -> bool:
    """Whether enough of the words are distinct names: of two characters or more, and no numbers."""
    return len({word for word in words if len(word) > 1 and not word[0].isdigit()}) >= MIN_NAMES


class ContaminationReport:
    """
    Counts of the documents that contain problems of benchmarks.

    Attributes:
        documents: Number of documents that were checked.
        matches: Numbers of documents by benchmark and rule.
        dropped: Number of documents with a match that must not be trained on.
    """

    def __init__(self) -> None:
        self.documents = 0
        self.matches: Counter[tuple[str, str]] = Counter()
        self.dropped = 0

    def add(self, match: Match | None) -> None:
        """Count a document with its result of `Contamination.check`."""
        self.documents += 1
        if match is not None:
            self.matches[match.benchmark, match.rule] += 1
            self.dropped += match.scored

    def table(self, benchmarks: Iterable[Benchmark]) -> Table:
        """Return the counts of these benchmarks by rule; those without scores are kept."""
        share = self.dropped / self.documents if self.documents else 0.0
        title = f"{self.dropped:,} of {self.documents:,} documents dropped ({share:.2%})"
        table = Table("benchmark", "problems", *RULES, "decision", title=title)
        for benchmark in benchmarks:
            counts = [f"{self.matches[benchmark.name, rule]:,}" for rule in RULES]
            decision = "dropped" if benchmark.scored else "kept"
            table.add_row(benchmark.name, f"{len(benchmark.problems):,}", *counts, decision)
        return table


@dataclass(frozen=True)
class Controls:
    """
    Documents for which the right answer is known.

    Attributes:
        planted: Number of documents with a problem's text inside, by benchmark.
        missed: Names of the problems that were not found, by benchmark.
        ordinary: Number of documents without any problem.
        false: Matches that were found in those.
    """

    planted: Mapping[str, int]
    missed: Mapping[str, tuple[str, ...]]
    ordinary: int
    false: tuple[Match, ...]

    def __str__(self) -> str:
        lines = []
        for name, count in self.planted.items():
            missed = self.missed[name]
            names = f"; missed {', '.join(dict.fromkeys(missed))}" if missed else ""
            lines.append(f"{name}: planted {count:,}, found {count - len(missed):,} of {count:,}{names}")
        return "\n".join([*lines, f"ordinary code: false {len(self.false):,} of {self.ordinary:,}"])


def controls(contamination: Contamination) -> Controls:
    """
    Check the search itself: each text of each problem with scores, with other whitespace and (if it is more than an
    open function) without its comments, inside a longer file; and Rust files of this package that contain no problem.
    Short solutions of functions with common names may be missed.
    """
    ordinary = [document.code for document in read_builtin()]
    planted, missed = {}, {}
    for benchmark in contamination.benchmarks:
        if benchmark.scored:
            cases = [(problem, text) for problem in benchmark.problems for text in _variants(problem)]
            planted[benchmark.name] = len(cases)
            missed[benchmark.name] = tuple(
                problem.name
                for index, (problem, text) in enumerate(cases)
                if not _is_scored(contamination.check(f"{ordinary[index % len(ordinary)]}\n{text}\n{ordinary[0]}"))
            )
    matches = [contamination.check(code) for code in ordinary]
    false = tuple(match for match in matches if match is not None and match.scored)
    return Controls(planted, missed, len(ordinary), false)


def _variants(problem: ProblemText) -> Iterator[str]:
    for text in problem.texts:
        yield _SPACES.sub("\t ", text).replace("\n", "\n\n")
        if not is_open(text):
            yield without_comments(text)


def _is_scored(match: Match | None) -> bool:
    return match is not None and match.scored
