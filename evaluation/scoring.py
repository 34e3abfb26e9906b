"""From samples and tests to verdicts, for every benchmark that runs programs."""

from collections.abc import Sequence

from evaluation.rust import RustVerifier, Verdict


class ScoringUnavailable(RuntimeError):
    """The tool failed for some programs; to count them as wrong would be a lie."""


class GoldFailed(RuntimeError):
    """A benchmark's own solution does not pass on this machine, so that no score would mean anything."""


def verify_samples(
    verifier: RustVerifier,
    programs: Sequence[Sequence[str]],
    tests: Sequence[str],
    trusted: bool = False,
    progress: bool = False,
) -> list[list[Verdict]]:
    """
    Verdicts for each problem's programs with the problem's test appended.

    Args:
        verifier: Decides.
        programs: For each problem its programs.
        tests: For each problem the text to append.
        trusted: The programs are known solutions, which may share a process.
        progress: Show a progress bar.

    Raises:
        ValueError: There are not as many tests as problems, or no problems.
        ScoringUnavailable: The compiler or the sandbox failed.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    if not programs or len(programs) != len(tests):
        raise ValueError(f"there must be one test for each of the problems, got {len(tests)} for {len(programs)}")
    codes = [code for each in programs for code in each]
    appended = [test for each, test in zip(programs, tests, strict=True) for _ in each]
    verdicts = verifier.verify(codes, appended, trusted=trusted, progress=progress)
    failed = [verdict for verdict in verdicts if verdict.status == "unavailable"]
    if failed:
        reason = failed[0].diagnostics[0].message if failed[0].diagnostics else "no reason was given"
        raise ScoringUnavailable(f"nothing was scored: the verifier failed for {len(failed)} programs ({reason})")
    remaining = iter(verdicts)
    return [[next(remaining) for _ in each] for each in programs]
