"""Known solutions are run several times: one whose tests pass only sometimes must not become a reference."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from evaluation.rust.harness import HiddenTests
from evaluation.rust.verdict import Diagnostic, Verdict
from evaluation.rust.verifier import RustVerifier, runs_code

RUNS = 3


def verify_steadily(
    verifier: RustVerifier, codes: Sequence[str], tests: Sequence[str | HiddenTests | None], **options: Any
) -> list[Verdict]:
    """As `RustVerifier.verify`, but what passes is run `RUNS` times in all, past the cache and in other processes.

    The verdict on a code that does not pass each time is that of its first failing run, and its first diagnostic says
    `flaky: passed 2 of 3 runs, ...`. Codes whose tests run nothing are compiled once.
    """
    verdicts = verifier.verify(codes, tests, **options)
    steady = [index for index, verdict in enumerate(verdicts) if verdict.ok and runs_code(tests[index])]
    again: dict[int, list[Verdict]] = {index: [verdicts[index]] for index in steady}
    for _ in range(RUNS - 1):
        for index, verdict in zip(
            steady,
            verifier.verify([codes[i] for i in steady], [tests[i] for i in steady], fresh=True, **options),
            strict=True,
        ):
            again[index].append(verdict)
    for index, each in again.items():
        failing = next((verdict for verdict in each if not verdict.ok), None)
        if failing is not None and failing.status != "unavailable":
            passed = sum(verdict.ok for verdict in each)
            why = failing.diagnostics[0].message if failing.diagnostics else "no reason was given"
            reason = f"flaky: passed {passed} of {RUNS} runs, first failing: {failing.status} {why}"
            verdicts[index] = replace(
                failing, diagnostics=(Diagnostic(None, "tests", reason), *failing.diagnostics), cached=False
            )
        elif failing is not None:
            verdicts[index] = failing
    return verdicts
