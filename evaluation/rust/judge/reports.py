"""What a program with hidden tests is asked to do, and what it reports: `harness_crate/checks.rs`."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from evaluation.rust.sandbox.runner import Completed

ENDED = re.compile(r"ended (-?\d+) (\d+) (\d+) (\d+) ([0-9a-f]*)")
MODULUS = 2**61 - 1


@dataclass(frozen=True)
class Report:
    """How the tests of one candidate went."""

    outcome: Literal["finished", "panicked", "died", "unconfined", "too_long", "forged", "none"]
    """`panicked`: outside the cases. `died`: the candidate's own process. `unconfined`: the kernel does not give the
    protection. `too_long`: what a call gave. `forged`: the report contradicts itself. `none`: the program ended
    without one.
    """
    passed: int = 0
    total: int = 0
    first_failed_line: int = 0
    """1-based line of the checker's text; 0 for none."""
    status: int = 0
    """Of the candidate's process: its exit status, or minus the number of a signal."""
    reason: str = ""
    """Why it is unconfined or forged."""


@dataclass(frozen=True)
class Run:
    """The tests of one candidate."""

    report: Report
    completed: Completed
    """How its processes ended, together."""


def _keys() -> tuple[int, int, int, int]:
    first, second, third, fourth = (secrets.randbelow(MODULUS) for _ in range(4))
    return first, second, third, fourth


@dataclass(frozen=True)
class Request:
    """To run the tests of one candidate. What it holds is random, and the candidate's code never gets it."""

    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    keys: tuple[int, int, int, int] = field(default_factory=_keys)

    def encode(self, tests: int, candidate: int) -> bytes:
        """The line that asks for these tests on this candidate, both by their numbers within their programs."""
        return (" ".join(map(str, [self.nonce, *self.keys, tests, candidate])) + "\n").encode()

    def seal(self, passed: int, total: int, first_failed_line: int) -> int:
        """The one-time code of these numbers under the keys."""
        numbers = (passed, total, first_failed_line, 1)
        return sum(number * key for number, key in zip(numbers, self.keys, strict=True)) % MODULUS

    def report(self, said: str) -> Report:
        """The report in a line behind its nonce."""
        if said.startswith("unconfined "):
            return Report("unconfined", reason=said.removeprefix("unconfined "))
        if said == "too long":
            return Report("too_long")
        if said == "garbled":
            return Report("forged", reason="the candidate's process wrote what its functions cannot have returned")
        died = re.fullmatch(r"died (-?\d+)", said)
        if died:
            return Report("died", status=int(died[1]))
        counts = re.fullmatch(r"finished ([01]) (\d+) (\d+) (\d+) (\d+) ([01])", said)
        if counts is None:
            return Report("forged", reason="it has another form")
        finished, passed, total, line, seal, broken = map(int, counts.groups())
        if broken or seal != self.seal(passed, total, line):
            return Report("forged", reason=f"its numbers, {passed} of {total} cases, are not those that were counted")
        if passed > total or (passed < total) != (line > 0):
            return Report(
                "forged", reason=f"{passed} of {total} cases hold, and the first that fails is in line {line}"
            )
        return Report("finished" if finished else "panicked", passed, total, line)


def read_runs(requests: Sequence[Request], stdout: bytes) -> list[Run]:
    """The runs that came to an end, in the order of the requests: all of them, or those before one that ended them."""
    lines = stdout.decode("ascii", "replace").split("\n")
    runs = []
    for request in requests:
        said = [line.removeprefix(f"{request.nonce} ") for line in lines if line.startswith(f"{request.nonce} ")]
        ends = [match for line in said if (match := ENDED.fullmatch(line))]
        reports = [request.report(line) for line in said if not ENDED.fullmatch(line)]
        if not ends:
            return runs
        if len(ends) > 1 or len(reports) > 1:
            reports = [Report("forged", reason="there are several")]
        status, microseconds, cpu_microseconds, peak_kilobytes = (int(number) for number in ends[0].groups()[:4])
        completed = Completed(
            status,
            "exit" if status >= 0 else "signal",
            b"",
            bytes.fromhex(ends[0][5]),
            microseconds / 1e6,
            cpu_microseconds / 1e6,
            peak_kilobytes << 10,
        )
        runs.append(Run(reports[0] if reports else Report("none"), completed))
    return runs
