"""
Crate holes: functions of real crates without their bodies, judged by the crates' own unit tests.

The problems are the tasks that `nanochat-ternary data holes` wrote; each body was verified to pass, and stubs and
mutants to fail. The crates themselves are needed, too: bodies are compiled in them, with their dependencies, in the
sandbox (`evaluation/rust/crates/holes`). Some crates have many more tasks than others, so that there is also a mean
over crates, whose interval is over the crates.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

from tree_sitter import Parser

from evaluation.generate import Sample
from evaluation.results import Results
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.crates.holes.hole_verifier import HoleVerifier
from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.answers import extract_rust
from evaluation.rust.syntax.nodes import name_of, node_bytes, walk
from evaluation.scoring import UNFINISHED, ScoringUnavailable, check_solutions
from evaluation.settings import EvaluationSettings
from evaluation.suites.problem_files import ProblemsMissing, problems_of, read_lines, text_in
from evaluation.suites.program_suite import Problem, ProgramSuite
from evaluation.suites.suite import Log, SuiteRun

RUN_SECONDS = 1.0  # of processor time; tasks whose tests need more than 0.4 s were not made
INSTRUCTION = """This is a part of a file of a Rust crate. Write the last function, which it begins.

```rust
{prompt}
```

Answer with this function alone, in one block of Rust."""


@dataclass(frozen=True)
class HoleProblem(Problem):
    """
    A function of a crate.

    Attributes:
        name: Such as "adler-1.0.2: algo::U32X4::from".
        prompt: Part of the file with the function, up to its open brace.
        judged_by: The crate's unit tests that judge it.
        solution: The rest of the original body, behind the brace.
        split: "train" or "held_out", as `data holes` has divided the crates.
    """

    judged_by: HoleTests
    solution: str
    split: str

    def program(self, completion: str) -> str:
        """Return the body with its braces."""
        return "{" + completion

    def program_of_answer(self, answer: str) -> str:
        """Return the body of the answer's last function of the name, or the answer as a body; empty without either."""
        code = extract_rust(answer)
        if code is None:
            return ""
        for node in reversed(list(walk(Parser(RUST).parse(code.encode("utf-8", "surrogatepass")).root_node))):
            body = node.child_by_field_name("body") if node.type == "function_item" else None
            if body is not None and name_of(node) == self.judged_by.simple_name:
                return node_bytes(body).decode("utf-8", "surrogatepass")
        return code if code.lstrip().startswith("{") else f"{{{code}\n}}"

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Convert a row of `data holes`. Raises `ValueError` for a bad one."""
        crate, version, function, prompt, solution = (
            text_in(row, column) for column in ("crate", "version", "function", "prompt", "solution")
        )
        if not isinstance(row.get("tests"), list):
            raise ValueError("the column tests must be a list of names of tests")
        if not prompt.endswith("{"):
            raise ValueError("prompt must end with the open brace of a function")
        tests = HoleTests(crate, version, function, tuple(row["tests"]))
        return cls(f"{tests.package}: {function}", prompt, None, tests, solution, text_in(row, "split"))


@dataclass(frozen=True)
class CrateHoles(ProgramSuite):
    """
    Functions of real crates: pass@k over functions, and its mean over crates.

    Attributes:
        crates: Folder of crate sources, such as `cargo vendor` writes.
        judge: Verifies bodies; only while the suite runs.
    """

    problems: Sequence[HoleProblem]
    crates: Path | None = None
    judge: HoleVerifier | None = None

    name = "crate-holes"
    benchmark = "crate_holes"
    title = "Functions of real crates, by their unit tests"
    metric = "pass"
    rules = "reward"
    instruction = INSTRUCTION
    edition = None

    @classmethod
    def read(cls, path: Path | None = None, skip_bad_rows: bool = False) -> Self:
        """Return the suite with the tasks of a file; crates take turns, so that any first tasks are of many."""
        if path is None:
            raise ProblemsMissing(
                f"{cls.name} needs its problems: write them with nanochat-ternary data holes, and give them with "
                f"--problems {cls.name}=FILE and the folder of the crates with --crates"
            )
        if not path.is_file():
            raise ValueError(f"the problems of {cls.name} must be a .jsonl or .jsonl.gz file, got {path}")
        try:
            problems, bad = problems_of(read_lines(path), HoleProblem.of, "id", skip_bad_rows)
        except ValueError as error:
            raise ValueError(f"{path} must hold hole tasks, one JSON object per line: {error}") from error
        by_crate: dict[str, list[HoleProblem]] = defaultdict(list)
        for problem in problems:
            by_crate[problem.judged_by.package].append(problem)
        turns = [problem for turn in zip_longest(*by_crate.values()) for problem in turn if problem is not None]
        return cls(turns, left_out=tuple(map(str, bad)), source=path)

    @classmethod
    def load(cls, settings: EvaluationSettings) -> Self:
        suite = super().load(settings)
        if settings.crates is None:
            raise ValueError(f"{cls.name} needs the folder of the crates' sources: give it with --crates")
        if not settings.crates.is_dir():
            raise ValueError(f"crates must be the folder of the crates' sources, got {settings.crates}")
        return replace(suite, crates=settings.crates)

    def judged(self, settings: EvaluationSettings, folder: Path) -> HoleVerifier:
        """Return a verifier of bodies, which keeps the crates' compiled dependencies in `folder`, to be closed."""
        assert self.crates is not None, "load sets it"
        return HoleVerifier(
            self.crates,
            folder / f"{self.benchmark}.crates",
            settings.num_workers,
            run_timeout=RUN_SECONDS,
        )

    def checked(self, run: SuiteRun, log: Log) -> Self:
        with self.judged(run.settings, run.output_dir) as judge:
            suite = replace(self, judge=judge)
            if run.settings.skip_bad_rows:
                suite = suite._without_unusable()
            return replace(super(CrateHoles, suite).checked(run, log), judge=None)

    def _without_unusable(self) -> Self:
        """Return the suite without the functions of crates that are missing or cannot be built here."""
        assert self.judge is not None, "checked sets it"
        reasons: dict[str, str] = {}
        for problem in self.problems:
            try:
                self.judge.check_tests([problem.judged_by])
            except ValueError as error:
                reasons[problem.name] = str(error)
        problems = [problem for problem in self.problems if problem.name not in reasons]
        if not problems:
            raise ValueError(f"no function of {self.source} is left: {next(iter(reasons.values()))}")
        left_out = tuple(f"{name}: {reason}" for name, reason in reasons.items())
        return replace(self, problems=problems, left_out=self.left_out + left_out)

    def run(self, run: SuiteRun) -> Results:
        with self.judged(run.settings, run.output_dir) as judge:
            return super(CrateHoles, replace(self, judge=judge)).run(run)

    def verify(
        self,
        completions: Sequence[Sequence[str | None]],
        verifier: RustVerifier | None = None,
        trusted: bool = False,
        progress: bool = False,
    ) -> list[list[Verdict]]:
        """Return the verdicts of `judge` on each function's bodies; there must be a judge."""
        assert self.judge is not None, "checked and run set it"
        finished = [
            (problem, text)
            for problem, each in zip(self.problems, completions, strict=True)
            for text in each
            if text is not None
        ]
        bodies = [self.program_of(problem, text) for problem, text in finished]
        tests = [problem.judged_by for problem, _ in finished]
        verdicts = self.judge.verify(bodies, tests, rules=self.rules, progress=progress)
        failed = [verdict for verdict in verdicts if verdict.status == "unavailable"]
        if failed:
            reason = failed[0].diagnostics[0].message
            raise ScoringUnavailable(f"nothing was scored: the verifier failed for {len(failed)} bodies ({reason})")
        remaining = iter(verdicts)
        return [[UNFINISHED if text is None else next(remaining) for text in each] for each in completions]

    def check_gold(self, verifier: RustVerifier | None = None, progress: bool = False) -> None:
        """
        Check that every original body passes, and that `todo!()` does not.

        Raises:
            GoldFailed: Names the functions where that is not so.
        """
        suite = replace(self, chat=None)
        solutions = [[problem.solution] for problem in self.problems]
        check_solutions(self.names, suite.verify(solutions, verifier, progress=progress))
        stubs = [[" todo!() }"] for _ in self.problems]
        check_solutions(self.names, suite.verify(stubs, verifier, progress=progress), passes=False)

    def further_shares(
        self, results: Results, verdicts: Sequence[Sequence[Verdict]]
    ) -> Mapping[str, Mapping[str, float]]:
        """Return each metric by crate, and of the functions of each split."""
        found: dict[str, Mapping[str, float]] = {}
        for metric, values in results.per_problem.items():
            by_crate: dict[str, list[float]] = defaultdict(list)
            for problem in self.problems:
                by_crate[problem.judged_by.package].append(values[problem.name])
            found[f"{metric}, mean of crates"] = {name: sum(each) / len(each) for name, each in by_crate.items()}
            for split in sorted({problem.split for problem in self.problems}):
                own = {each.name: values[each.name] for each in self.problems if each.split == split}
                found[f"{metric}, {split}"] = own
        return found

    def details(self, samples: Sequence[Sample]) -> dict[str, Any]:
        packages = [problem.judged_by.package for problem in self.problems]
        return super().details(samples) | {"crates": {name: packages.count(name) for name in dict.fromkeys(packages)}}

    def settings(self, run: SuiteRun) -> dict[str, Any]:
        return super().settings(run) | {"edition": "of each crate", "crates": str(self.crates)}

    def versions(self, run: SuiteRun) -> dict[str, str]:
        assert self.judge is not None, "run sets it"
        return {"rustc": self.judge.toolchain.version}

    @classmethod
    def how_measured(cls, results: Results) -> str:
        return f"{super().how_measured(results)}, functions of {len(results.details['crates'])} crates"
