"""
Checks of the user's tasks: whether a solution passes every time, and whether the tests reject what is wrong.

A task with a solution is accepted if the solution passes in each of several runs under the rules for rewards, an empty
answer fails, and of the mutants of the solution that compile at least three are rejected, or all of them. About a task
without a solution only the empty answer is known.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from evaluation.own_task import OwnTask
from evaluation.rust import HiddenTests, RustVerifier, StdinTests, Verdict
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.crates.holes.hole_verifier import HoleVerifier
from evaluation.rust.judge.batching import Rules
from evaluation.rust.verifier import RUNS_OF_SOLUTIONS
from trainers.data.decontamination import Contamination
from trainers.data.tasks.mutants import mutants
from trainers.data.tasks.own_files import FaultyRow
from trainers.data.verify import decided

MIN_REJECTED = 3
ROUNDS = (4, 8)  # mutants to try, later ones only where too few are rejected
MOST_SHOWN = 40


@dataclass(frozen=True)
class CheckedTasks:
    """
    Tasks after all checks.

    Attributes:
        accepted: The usable tasks, by where they are.
        refused: The others, and rows that are no tasks, with the reason.
    """

    accepted: Mapping[str, OwnTask]
    refused: Sequence[FaultyRow]

    @property
    def without_solution(self) -> int:
        """Number of accepted tasks about which little could be checked."""
        return sum(task.solution is None for task in self.accepted.values())

    def summary(self) -> str:
        """Return the counts in one line."""
        kinds = Counter(task.family if not _is_hole(task) else "hole tests" for task in self.accepted.values())
        named = ", ".join(f"{count:,} with {kind}" for kind, count in sorted(kinds.items()))
        unchecked = self.without_solution
        more = f"; {unchecked:,} have no solution, so that only an empty answer was tried" if unchecked else ""
        return f"{len(self.accepted):,} tasks accepted ({named or 'none'}), {len(self.refused):,} refused{more}"

    def table(self) -> Table:
        """Return the accepted tasks and the refused rows, up to `MOST_SHOWN` of each."""
        table = Table("row", "task", "result", title="Tasks")
        for each in self.refused[:MOST_SHOWN]:
            table.add_row(each.where, Text(each.id), Text(f"refused: {each.reason}"))
        for where, task in list(self.accepted.items())[:MOST_SHOWN]:
            table.add_row(where, Text(task.id), "accepted" if task.solution else "accepted, without a solution")
        return table


class TaskChecker:
    """
    Check tasks with the verifiers that will judge their answers.

    Args:
        verifier: Of hidden tests and stdin tests.
        crates: Folder of crate sources for hole tests; None where there are none.
        contamination: Problems that no task may contain; None to allow all.
        progress: Show progress bars.
    """

    def __init__(
        self,
        verifier: RustVerifier,
        crates: Path | None = None,
        contamination: Contamination | None = None,
        progress: bool = False,
    ):
        self.verifier = verifier
        self.crates = crates
        self.contamination = contamination
        self.progress = progress

    def check(self, tasks: Mapping[str, OwnTask], faulty: Sequence[FaultyRow] = ()) -> CheckedTasks:
        """
        Return which tasks are usable.

        Args:
            tasks: By where they are.
            faulty: Rows that are no tasks, which are among the refused ones.

        Raises:
            ValueError: There are hole tests, and no folder of crates.
            SandboxFailure: The compiler or the sandbox failed.
            CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
        """
        holes = None
        if any(map(_is_hole, tasks.values())):
            if self.crates is None:
                raise ValueError("crates must be a folder of crate sources, because there are hole tests, got None")
            holes = HoleVerifier(self.crates)
        try:
            faults = self._faults_of_texts(tasks) | self._faults_of_tests(tasks, holes)
            sound = {where: task for where, task in tasks.items() if where not in faults}
            faults |= self._faults_of_runs(sound, holes)
        finally:
            if holes is not None:
                holes.close()
        tested = [FaultyRow(where, faults[where], task.id) for where, task in tasks.items() if where in faults]
        return CheckedTasks({where: task for where, task in tasks.items() if where not in faults}, [*faulty, *tested])

    def _faults_of_texts(self, tasks: Mapping[str, OwnTask]) -> dict[str, str]:
        """Return the faults that are seen in the text."""
        faults = {}
        for where, task in tasks.items():
            match = None if self.contamination is None else self.contamination.check(task.text)
            if match is not None and match.scored:
                faults[where] = f"it contains the problem {match.problem} of the benchmark {match.benchmark}"
            elif isinstance(task.tests, StdinTests) and len({case.expected for case in task.tests.cases}) == 1:
                faults[where] = "all cases expect the same output, so that a program that always prints it passes"
        return faults

    def _faults_of_tests(self, tasks: Mapping[str, OwnTask], holes: HoleVerifier | None) -> dict[str, str]:
        """Return the faults of tests that do not compile, or name a function that is not in the crates."""
        hidden = {where: task.tests for where, task in tasks.items() if isinstance(task.tests, HiddenTests)}
        faults = {}
        try:
            self.verifier.check_tests(list(hidden.values()), progress=self.progress)
        except ValueError:
            faults = {where: fault for where, tests in hidden.items() if (fault := self._fault_of(tests))}
        for where, task in tasks.items():
            if holes is not None and isinstance(task.tests, HoleTests):
                try:
                    holes.check_tests([task.tests])
                except ValueError as error:
                    faults[where] = str(error)
        return faults

    def _fault_of(self, tests: HiddenTests) -> str | None:
        try:
            self.verifier.check_tests([tests])
        except ValueError as error:
            return str(error)
        return None

    def _faults_of_runs(self, tasks: Mapping[str, OwnTask], holes: HoleVerifier | None) -> dict[str, str]:
        """Return the faults that solutions and wrong answers show."""
        names = list(tasks)
        empty = [(tasks[name], _empty(tasks[name])) for name in names]
        faults = {
            name: "an empty answer passes its tests"
            for name, verdict in zip(names, self._verdicts(empty, holes, 1, "data"), strict=True)
            if verdict.ok
        }
        solved = [name for name in names if name not in faults and tasks[name].solution is not None]
        solutions = [(tasks[name], tasks[name].judged(tasks[name].solution) or "") for name in solved]
        for name, verdict in zip(solved, self._verdicts(solutions, holes, RUNS_OF_SOLUTIONS, "reward"), strict=True):
            if not verdict.ok:
                why = verdict.diagnostics[0].message if verdict.diagnostics else ""
                faults[name] = f"its solution does not pass: {verdict.status} {why}".strip()
        wrong = {name: _wrong(tasks[name]) for name in solved if name not in faults}
        rejected, compiled = Counter[str](), Counter[str]()
        tried = 0
        for count in ROUNDS:
            doubtful = [name for name in wrong if rejected[name] < MIN_REJECTED]
            chosen = [(name, code) for name in doubtful for code in wrong[name][tried : tried + count]]
            tried += count
            verdicts = self._verdicts([(tasks[name], code) for name, code in chosen], holes, 1, "data")
            for (name, _), verdict in zip(chosen, verdicts, strict=True):
                compiles = set(verdict.checks.values()) == {"ok"}
                compiled[name] += compiles
                rejected[name] += compiles and not verdict.ok
        for name in wrong:
            if rejected[name] < min(MIN_REJECTED, compiled[name]):
                faults[name] = f"its tests reject only {rejected[name]} of {compiled[name]} mutants of the solution"
        return faults

    def _verdicts(
        self, answers: Sequence[tuple[OwnTask, str]], holes: HoleVerifier | None, runs: int, rules: Rules
    ) -> list[Verdict]:
        bodies = {place: each for place, each in enumerate(answers) if _is_hole(each[0])}
        programs = {place: each for place, each in enumerate(answers) if place not in bodies}
        found: dict[int, Verdict] = {}
        if programs:
            tests = [task.tests for task, _ in programs.values() if not isinstance(task.tests, HoleTests)]
            codes = [code for _, code in programs.values()]
            verdicts = self.verifier.verify(codes, tests, rules=rules, runs=runs, progress=self.progress)
            found |= zip(programs, decided(verdicts), strict=True)
        if bodies:
            assert holes is not None, "there is a verifier where there are hole tests"
            unit_tests = [task.tests for task, _ in bodies.values() if isinstance(task.tests, HoleTests)]
            codes = [code for _, code in bodies.values()]
            verdicts = holes.verify(codes, unit_tests, rules=rules, runs=runs, progress=self.progress)
            found |= zip(bodies, decided(verdicts), strict=True)
        return [found[place] for place in range(len(answers))]


def _is_hole(task: OwnTask) -> bool:
    return isinstance(task.tests, HoleTests)


def _empty(task: OwnTask) -> str:
    """Return an answer that does nothing."""
    if isinstance(task.prompt, str):
        return task.judged("}") or ""
    return "fn main() {}"


def _wrong(task: OwnTask) -> list[str]:
    """Return mutants of the solution, which should fail; of a hole task a body that panics."""
    if _is_hole(task):
        return ["{ ::core::todo!() }"]
    prompt = task.prompt if isinstance(task.prompt, str) else ""
    return [mutant.code for mutant in mutants(prompt, task.solution or "")]
