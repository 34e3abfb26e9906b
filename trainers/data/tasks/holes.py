"""
Hole tasks: a function of a real crate without its body, which the crate's own unit tests judge.

A function becomes a task if its body passes the tests that reach it in each of several runs under the rules for
rewards, and if these tests reject all stubs, and at least three mutants of the body or, of a short body, every one.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Literal

from evaluation.rust import Verdict
from evaluation.rust.crates.holes.functions import Function
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.crates.holes.hole_verifier import HoleVerifier
from evaluation.rust.crates.holes.reached import tests_of_functions
from evaluation.rust.crates.holes.refused import hole_refusals
from evaluation.rust.crates.holes.testable import OpenCrate
from evaluation.rust.crates.holes.warm import NotBuilt
from evaluation.rust.crates.manifest import CratePackage
from evaluation.rust.sandbox.runner import SandboxFailure
from evaluation.rust.syntax.analysis import analyze
from evaluation.rust.verifier import RUNS_OF_SOLUTIONS
from trainers.data.tasks.hole_prompts import hole_prompt
from trainers.data.tasks.wrong_bodies import WrongBody, mutated_bodies, stubs

HoleSplit = Literal["train", "held_out"]
HOLE_SPLITS: tuple[str, ...] = HoleSplit.__args__
HELD_OUT_SHARE = 0.1  # of the names of crates
MIN_REJECTED = 3
MIN_MUTANTS = 2  # of a short body, all of which must be rejected
MAX_TESTS = 16  # of a task
MAX_SECONDS = 0.4  # of the tests of a task together, far below the limit on a run
TIERS = 5


@dataclass(frozen=True)
class HoleTask:
    """
    A function to complete.

    Attributes:
        id: Hash of the crate, the function and its body.
        crate: Name of the crate.
        version: Its version.
        license: SPDX expression of the crate's manifest.
        path: File of the function in the crate.
        edition: Rust edition of the crate.
        features: Features of the crate that are on.
        function: Path of the function in the crate.
        prompt: A part of the file with the documentation and the signature, up to the opening brace.
        solution: Rest of the body after the brace.
        tests: Paths of the unit tests that judge a body.
        mutants: Number of mutants of the body that compile.
        mutants_rejected: Number of these that the tests reject.
        split: "train" or "held_out", by a hash of the crate's name.
        difficulty: Estimate from 0 to 1 from the syntax of the function.
        tier: 0 to 4, the difficulty in five steps.
    """

    id: str
    crate: str
    version: str
    license: str
    path: str
    edition: str
    features: tuple[str, ...]
    function: str
    prompt: str
    solution: str
    tests: tuple[str, ...]
    mutants: int
    mutants_rejected: int
    split: HoleSplit
    difficulty: float
    tier: int

    def __post_init__(self):
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type in ("int", int) and (isinstance(value, bool) or not isinstance(value, int)):
                raise ValueError(f"a hole task's {each.name} must be an integer, got {value!r}")
        if not isinstance(self.prompt, str) or not self.prompt.endswith("{"):
            raise ValueError(f"a hole task's prompt must end with an opening brace, got {str(self.prompt)[-40:]!r}")
        if self.split not in HOLE_SPLITS:
            raise ValueError(f"a hole task's split must be one of {', '.join(HOLE_SPLITS)}, got {self.split!r}")
        assert self.hole_tests

    @property
    def hole_tests(self) -> HoleTests:
        """The tests in the form of the verifier. Raises `ValueError`."""
        return HoleTests(self.crate, self.version, self.function, tuple(self.tests))

    def as_row(self) -> dict:
        """Return the columns of the task."""
        return asdict(self)


@dataclass(frozen=True)
class HolesOfCrate:
    """
    Tasks of one crate.

    Attributes:
        tasks: By file and place.
        outcomes: Number of functions by outcome: "accepted" or the reason of their rejection.
        problem: Why the crate has no tasks; empty if its unit tests can be built.
    """

    tasks: tuple[HoleTask, ...]
    outcomes: dict[str, int]
    problem: str = ""


def split_of(crate: str) -> HoleSplit:
    """Return the split of a crate, which depends on its name alone: all versions are on the same side."""
    share = int.from_bytes(sha256(crate.encode()).digest()[:8]) / 2**64
    return "held_out" if share < HELD_OUT_SHARE else "train"


def make_holes(package: CratePackage, verifier: HoleVerifier, most: int) -> HolesOfCrate:
    """
    Make the tasks of a crate.

    Args:
        package: The crate.
        verifier: Has it in its folder.
        most: Maximum number of tasks. They are chosen by a hash of their names.

    Raises:
        SandboxFailure: The compiler or the sandbox failed.
    """
    try:
        crate = verifier.open(package)
        reached = tests_of_functions(verifier, crate, MAX_TESTS, MAX_SECONDS)
    except NotBuilt as error:
        return HolesOfCrate((), {}, str(error))
    outcomes: Counter[str] = Counter()
    outcomes["no unit test reaches it"] = len(crate.functions) - len(reached)
    candidates = []
    for function in sorted(reached, key=lambda each: sha256(each.name.encode()).digest()):
        refused = hole_refusals(function.body, crate.sources[function.path].code)
        if refused:
            outcomes["the rules for rewards refuse its body"] += 1
        else:
            candidates.append(function)
    accepted: list[HoleTask] = []
    while candidates and len(accepted) < most:
        count = 2 * (most - len(accepted))
        chosen, candidates = candidates[:count], candidates[count:]
        for found in _judge([(function, reached[function]) for function in chosen], crate, verifier):
            if isinstance(found, str):
                outcomes[found] += 1
            else:
                accepted.append(found)
    outcomes["beyond the maximum of its crate"] = len(candidates) + max(0, len(accepted) - most)
    accepted = accepted[:most]
    outcomes["accepted"] = len(accepted)
    places = {function.name: (function.path, function.start) for function in reached}
    accepted.sort(key=lambda task: places[task.function])
    return HolesOfCrate(tuple(accepted), {name: count for name, count in sorted(outcomes.items()) if count})


def _judge(
    functions: Sequence[tuple[Function, tuple[str, ...]]], crate: OpenCrate, verifier: HoleVerifier
) -> list[HoleTask | str]:
    """Return the task of each function, or the reason of its rejection."""
    package = crate.warm.package
    tests = [HoleTests(package.name, package.version, function.name, names) for function, names in functions]
    found: dict[int, HoleTask | str] = {}
    wrong: list[tuple[int, WrongBody]] = []
    prompts: dict[int, str] = {}
    bodies = [function.body for function, _ in functions]
    for index, verdict in enumerate(decided(verifier.verify(bodies, tests, runs=RUNS_OF_SOLUTIONS))):
        function = functions[index][0]
        title = f"{package.name} {package.version}, {function.path}"
        prompt = hole_prompt(crate.sources[function.path], function, title)
        if not verdict.ok:
            found[index] = "its own body does not pass every time"
        elif prompt is None:
            found[index] = "its prompt is too long"
        else:
            try:
                own = [*stubs(function.head), *mutated_bodies(function.head, function.body)]
            except ValueError:
                found[index] = "it does not parse without its impl"
            else:
                prompts[index] = prompt
                wrong += [(index, body) for body in own]
    verdicts = decided(
        verifier.verify([body.body for _, body in wrong], [tests[index] for index, _ in wrong], rules="data")
    )
    passing_stubs: set[int] = set()
    compiled, rejected = Counter[int](), Counter[int]()
    for (index, body), verdict in zip(wrong, verdicts, strict=True):
        if body.kind == "stub":
            passing_stubs |= {index} if verdict.ok else set()
        elif all(check == "ok" for check in verdict.checks.values()):
            compiled[index] += 1
            rejected[index] += not verdict.ok
    for index, prompt in prompts.items():
        if index in passing_stubs:
            found[index] = "a stub passes its tests"
        elif not _notice_enough(compiled[index], rejected[index]):
            found[index] = "its tests reject too few mutants"
        else:
            function, names = functions[index]
            found[index] = _task(crate, function, names, prompt, compiled[index], rejected[index])
    return [found[index] for index in range(len(functions))]


def _notice_enough(compiled: int, rejected: int) -> bool:
    """Whether tests that reject so many of the mutants that compile can judge a body."""
    return rejected >= MIN_REJECTED or (rejected == compiled and compiled >= MIN_MUTANTS)


def decided(verdicts: Sequence[Verdict]) -> Sequence[Verdict]:
    """Return the verdicts. Raises `SandboxFailure` if one of them is unavailable."""
    for verdict in verdicts:
        if verdict.status == "unavailable":
            raise SandboxFailure(verdict.diagnostics[0].message)
    return verdicts


def _task(
    crate: OpenCrate, function: Function, tests: tuple[str, ...], prompt: str, compiled: int, rejected: int
) -> HoleTask:
    package = crate.warm.package
    difficulty = analyze(f"{function.head}{function.body}\n").metadata.difficulty
    identity = json.dumps([package.name, package.version, function.name, function.body])
    return HoleTask(
        id=sha256(identity.encode()).hexdigest()[:16],
        crate=package.name,
        version=package.version,
        license=package.license,
        path=function.path,
        edition=package.edition,
        features=crate.warm.features,
        function=function.name,
        prompt=prompt,
        solution=function.body[1:],
        tests=tests,
        mutants=compiled,
        mutants_rejected=rejected,
        split=split_of(package.name),
        difficulty=round(difficulty, 4),
        tier=min(TIERS - 1, int(difficulty * TIERS)),
    )


def read_holes(path: Path, split: HoleSplit | None = None) -> list[HoleTask]:
    """
    Read hole tasks from a file of JSON lines.

    Args:
        path: The file.
        split: Only read tasks of this split; None reads all.

    Raises:
        ValueError: A line is not a hole task, or there is none of this split.
    """
    if split is not None and split not in HOLE_SPLITS:
        raise ValueError(f"split must be None or one of {', '.join(HOLE_SPLITS)}, got {split!r}")
    tasks = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            for name in ("features", "tests"):
                row[name] = tuple(row[name])
            tasks.append(HoleTask(**{each.name: row[each.name] for each in fields(HoleTask)}))
        except (ValueError, KeyError, TypeError) as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{path} must hold a hole task in each line, line {number} does not: {reason}") from None
    chosen = [task for task in tasks if split in (None, task.split)]
    if not chosen:
        raise ValueError(f"{path} must hold hole tasks{'' if split is None else f' of split {split}'}, got none")
    return chosen
