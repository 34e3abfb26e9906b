"""
Measure how fast candidates are judged, against compiling, linking and running each alone in the same sandbox.

    HF_ALLOW_CODE_EVAL=1 NANOCHAT_DATA=data python benchmarks/judge.py

The tests are HumanEval's, as hidden tests and as published; the latter is how `nanochat-ternary eval run` scores
samples of all its problems. Half of the wrong candidates are its faulty solutions, which compile and fail; the other
half are solutions with a word removed, most of which do not compile. No two candidates are equal and the cache is
empty. Hidden tests are run in the usual way, and again all in the process of the candidate: the difference is the
cost of reports that cannot be forged. "Alone" is what a script would do, with rustc's default flags and again with
the judge's flags. The contenders take turns, and medians over the rounds are reported.
"""

import argparse
import os
import platform
import random
import re
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from reporting import add_output, new_parser, write_json
from rich.console import Console
from rich.table import Table
from verifier import rows_of, seconds_of

from evaluation.options import add_former_name

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    add_former_name(
        parser,
        "--workers",
        parser.add_argument(
            "--num-workers",
            type=int,
            default=len(os.sched_getaffinity(0)),
            dest="workers",
            help="number of compilers at the same time",
        ),
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds; medians are reported")
    parser.add_argument("--candidates", type=int, default=128, help="number of candidates with hidden tests")
    parser.add_argument(
        "--samples", type=int, default=4, help="number of samples of each problem with published tests"
    )
    add_output(parser, "results/benchmarks/judge.json")
    options = parser.parse_args()

from evaluation.rust import HiddenTests, RustVerifier, Verdict
from evaluation.rust.judge import harness
from evaluation.rust.judge.checkers import HARNESS_FILE, WITH_HARNESS
from evaluation.rust.judge.published_tests import as_hidden_tests
from evaluation.rust.judge.reports import Request, read_runs
from evaluation.rust.rustc.compiler import BUILD_FLAGS, ROOT
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.sandbox.runner import OPT_IN, Command, Limits
from evaluation.suites.humaneval_rust import HumanEvalRust

TOOLCHAIN = find_toolchain()
LIMITS = Limits(wall_seconds=60.0)
REQUEST = Request()


@dataclass(frozen=True)
class Workload:
    """Candidates, each with its tests."""

    name: str
    candidates: list[tuple[str, HiddenTests | str]]
    rules: Literal["data", "reward"] = "reward"
    trusted: bool = False


def problems() -> list[dict]:
    """HumanEval's problems, with hidden tests where the assertions call only the requested function."""
    found = []
    for row in rows_of("humaneval_rust"):
        declaration = row["declaration"]
        imports = " ".join(re.findall(r"^use [^;]*;", declaration, re.MULTILINE))
        function = declaration[declaration.rindex(f"fn {row['entry_point']}") :].strip().rstrip("{ ")
        if "rand" not in row["support"] and "RtnType" not in declaration:
            row["hidden"] = as_hidden_tests(f"{imports} {function};", row["support"] + row["test"])
        found.append(row)
    return found


def sampled(rows: Sequence[dict], success: float, count: int) -> Workload:
    """Sample candidates, of which the given share is right."""
    generator = random.Random(0)
    candidates = []
    for index in range(count):
        row = rows[index % len(rows)]
        body = row["canonical_solution"]
        if index >= success * count:
            body = row["buggy_solution"] if index % 2 else without_a_word(body, generator)
        code = f"{row['declaration']}{body}\n{row['support']}\nconst _: u32 = {index};\n"
        candidates.append((code, row["hidden"]))
    generator.shuffle(candidates)
    return Workload(f"hidden tests of {len(rows)} tasks, {success:.0%} right", candidates)


def scored(success: float, samples: int) -> Workload:
    """Sample candidates of each problem, of which the given share is right, as the benchmark scores them."""
    generator = random.Random(0)
    candidates = []
    for problem in HumanEvalRust.read().problems:
        assert problem.tests is not None, "every problem has a test"
        for index in range(samples):
            body = problem.solution
            if generator.random() >= success:
                body = problem.faulty if index % 2 else without_a_word(body, generator)
            candidates.append((f"{problem.program(body)}const _: u32 = {index};\n", problem.tests))
    generator.shuffle(candidates)
    return Workload(f"HumanEval-Rust, {samples} samples, {success:.0%} right", candidates, rules="data")


def without_a_word(code: str, generator: random.Random) -> str:
    """Remove a word from the code."""
    words = list(re.finditer(r"\w+", code))
    word = generator.choice(words)
    return code[: word.start()] + code[word.end() :]


def solutions(rows: Sequence[dict]) -> Workload:
    """All solutions with their published tests."""
    candidates = [(row["declaration"] + row["canonical_solution"], row["support"] + row["test"]) for row in rows]
    return Workload("solutions with published tests", candidates, "data", trusted=True)


def judged(workload: Workload, workers: int) -> tuple[float, int]:
    """Judge in the usual way; return seconds and the number that passes."""
    programs, tests = zip(*workload.candidates, strict=True)
    return verified(workload, programs, tests, workers)


def in_one_process(workload: Workload, workers: int) -> tuple[float, int]:
    """Judge with all hidden tests in the candidate's process."""
    programs, tests = zip(*workload.candidates, strict=True)
    shared = []
    for test in tests:
        test = replace(test) if isinstance(test, HiddenTests) else test
        if isinstance(test, HiddenTests):
            test.__dict__["shared_because"] = "it is measured"
        shared.append(test)
    return verified(workload, programs, shared, workers)


def verified(workload: Workload, programs: Sequence[str], tests: Sequence, workers: int) -> tuple[float, int]:
    """Verify candidates; return seconds and the number that passes."""
    with RustVerifier(workers=workers) as verifier:
        verdicts: list[Verdict] = []
        seconds = seconds_of(
            lambda: verdicts.extend(verifier.verify(programs, tests, rules=workload.rules, trusted=workload.trusted))
        )
    return seconds, sum(verdict.ok for verdict in verdicts)


def alone(workload: Workload, workers: int, flags: Sequence[str] = ()) -> tuple[float, int]:
    """Compile each candidate, compile and link its tests, and run them, in a sandbox for each."""
    with RustVerifier(workers=workers) as verifier, ThreadPoolExecutor(workers) as pool:
        sandbox = verifier.resources.sandbox

        def attempt(candidate: tuple[str, HiddenTests | str]) -> bool:
            code, tests = candidate
            if isinstance(tests, HiddenTests):
                files, commands = hidden(code, tests, flags)
                files |= {HARNESS_FILE: harness_crate}
            else:
                files, commands = published(code, tests, flags)
            results = sandbox.run(files, commands, LIMITS)
            return len(results) == len(commands) and passed(results[-1].stdout, tests)

        harness_crate = verifier.resources.checkers.harness()
        outcomes: list[bool] = []
        seconds = seconds_of(lambda: outcomes.extend(pool.map(attempt, workload.candidates)))
    return seconds, sum(outcomes)


def rustc(*arguments: str) -> Command:
    """Command that calls the compiler."""
    return Command([TOOLCHAIN.rustc, "--edition", "2021", *arguments], TOOLCHAIN.environment)


def hidden(code: str, tests: HiddenTests, flags: Sequence[str]) -> tuple[dict[str, bytes], list[Command]]:
    """Files and commands for a candidate with hidden tests."""
    text, _ = harness.publish(code.encode(), tests)
    checker = harness.shared_files([tests], together=False)
    library = rustc("--crate-type", "lib", "--crate-name", harness.CANDIDATES, "-F", "unsafe_code", *flags, ROOT)
    extern = f"{harness.CANDIDATES}=lib{harness.CANDIDATES}.rlib"
    root = next(iter(checker))
    program = rustc("--crate-name", "program", *WITH_HARNESS, "--extern", extern, *flags, root)
    run = Command(["{directory}/program"], TOOLCHAIN.environment, REQUEST.encode(0, 0))
    return {ROOT: text, **checker}, [library, program, run]


def published(code: str, tests: str, flags: Sequence[str]) -> tuple[dict[str, bytes], list[Command]]:
    """Files and commands for a candidate with appended tests."""
    program = rustc("--test", "--crate-name", "program", *flags, ROOT)
    return {ROOT: f"{code}\n{tests}".encode()}, [program, Command(["{directory}/program"], TOOLCHAIN.environment)]


def passed(stdout: bytes, tests: HiddenTests | str) -> bool:
    """Whether the tests of a run passed."""
    if isinstance(tests, str):
        return b"test result: ok" in stdout
    runs = read_runs([REQUEST], stdout)
    return bool(runs) and runs[0].report.outcome == "finished" and runs[0].report.passed == runs[0].report.total


CONTENDERS: dict[str, Callable[[Workload, int], tuple[float, int]]] = {
    "judge": judged,
    "judge, one process": in_one_process,
    "each alone": alone,
    "each alone, our flags": lambda workload, workers: alone(workload, workers, BUILD_FLAGS),
}


def measure(workload: Workload, workers: int, rounds: int) -> dict:
    """Measure all contenders in turns; they must agree on the number that passes."""
    walls: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    right: dict[str, int] = {}
    for _ in range(rounds):
        for name, run in CONTENDERS.items():
            seconds, right[name] = run(workload, workers)
            walls[name].append(seconds)
    ratios = {
        name: statistics.median(slow / fast for fast, slow in zip(walls["judge"], values, strict=True))
        for name, values in walls.items()
    }
    return {
        "workload": workload.name,
        "candidates": len(workload.candidates),
        "passing": right,
        "seconds": {name: statistics.median(values) for name, values in walls.items()},
        "judge_is_faster_by": ratios,
    }


def main(parser: argparse.ArgumentParser, options: argparse.Namespace):
    """Measure, print a table and write the results."""
    if "NANOCHAT_DATA" not in os.environ:
        parser.error("NANOCHAT_DATA must name the folder with humaneval_rust.jsonl.gz")
    if os.environ.get(OPT_IN) != "1":
        parser.error(f"this runs programs in the sandbox: set {OPT_IN}=1 to allow it")

    console = Console(highlight=False)
    rows = problems()
    with_hidden_tests = [row for row in rows if "hidden" in row]
    workloads = [sampled(with_hidden_tests, share, options.candidates) for share in (0.25, 0.75)]
    # As a step of reinforcement learning has them.
    workloads += [sampled(with_hidden_tests[:4], share, 32) for share in (0.25, 0.75)]
    workloads += [scored(0.25, options.samples), solutions(rows)]
    with console.status("measuring"):
        results = [measure(workload, options.workers, options.rounds) for workload in workloads]
    table = Table(title=f"{options.workers} workers, rustc {TOOLCHAIN.version}, medians of {options.rounds} rounds")
    for column in ("workload", "candidates", "contender", "pass", "per second", "per core", "judge is faster by"):
        table.add_column(column, justify="left" if column in ("workload", "contender") else "right")
    for result in results:
        for name in CONTENDERS:
            first = name == "judge"
            speed = result["candidates"] / result["seconds"][name]
            table.add_row(
                result["workload"] if first else "",
                str(result["candidates"]) if first else "",
                name,
                str(result["passing"][name]),
                f"{speed:.1f}",
                f"{speed / options.workers:.1f}",
                "" if first else f"{result['judge_is_faster_by'][name]:.1f}x",
            )
        table.add_section()
    console.print(table)
    report = {
        "benchmark": "judge",
        "rustc": TOOLCHAIN.identity,
        "machine": platform.machine(),
        "workers": options.workers,
        "rounds": options.rounds,
        "load": os.getloadavg(),
        "workloads": results,
    }
    write_json(options.output, report)


if __name__ == "__main__":
    main(parser, options)
