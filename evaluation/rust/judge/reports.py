"""Requests to programs with hidden tests, and their reports; the counterpart is `harness_crate/checks.rs`."""

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
    """Report on the tests of one candidate."""

    outcome: Literal["finished", "panicked", "died", "unconfined", "too_long", "forged", "none"]
    """`panicked`: a panic outside the cases. `died`: the candidate's process ended. `unconfined`: the kernel does not
    support the protection. `too_long`: a call returned too much. `forged`: the report contradicts itself. `none`: the
    program ended without a report.
    """
    passed: int = 0
    total: int = 0
    first_failed_line: int = 0
    """Line of the first failed case in the checker, counted from 1; 0 for none."""
    status: int = 0
    """Exit status of the candidate's process, or minus the number of the signal that killed it."""
    reason: str = ""
    """Reason of `unconfined` or `forged`."""


@dataclass(frozen=True)
class Run:
    """Run of the tests of one candidate."""

    report: Report
    completed: Completed
    """Result of its processes together."""


def _keys() -> tuple[int, int, int, int]:
    first, second, third, fourth = (secrets.randbelow(MODULUS) for _ in range(4))
    return first, second, third, fourth


@dataclass(frozen=True)
class Request:
    """Request to run the tests of one candidate, with random secrets that the candidate's code never sees."""

    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    keys: tuple[int, int, int, int] = field(default_factory=_keys)

    def encode(self, tests: int, candidate: int) -> bytes:
        """Return the line that requests a run, given the indices of tests and candidate in their programs."""
        return (" ".join(map(str, [self.nonce, *self.keys, tests, candidate])) + "\n").encode()

    def seal(self, passed: int, total: int, first_failed_line: int) -> int:
        """Return the one-time authentication code of these numbers."""
        numbers = (passed, total, first_failed_line, 1)
        return sum(number * key for number, key in zip(numbers, self.keys, strict=True)) % MODULUS

    def report(self, said: str) -> Report:
        """Parse the report in a line, without its nonce, and check its seal."""
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
    """Return the finished runs in the order of the requests, up to the first that did not finish."""
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
