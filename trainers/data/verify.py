"""What the compiler says about rows of Rust text."""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.rust import RustVerifier, SandboxUnavailable, ToolchainUnavailable, Verdict
from evaluation.rust.sandbox.runner import SandboxFailure
from trainers.data.sources import Document

_MAIN = re.compile(r"\bfn\s+main\s*\(")
_CRATE_ATTRIBUTES = re.compile(r"\A(?:\s*(?:#!\[[^\n]*\]|//[^\n]*)\n)*")


@dataclass(frozen=True)
class VerifiedSample:
    """
    Verdicts on some of the rows.

    Attributes:
        texts: How many rows there are to choose from.
        counts: Verdicts by status, most frequent first.
        external: How many failed only because they use crates or files that do not come with them.
        seconds: Of the compiler, summed over all calls.
        problem: Why nothing could be verified; None when it could.
    """

    texts: int
    counts: dict[str, int]
    external: int = 0
    seconds: float = 0.0
    problem: str | None = None


def decided(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """
    The verdicts, where each says something about its code.

    Raises:
        SandboxFailure: The compiler or the sandbox failed for some: to leave these out would make another data set.
    """
    failed = [verdict for verdict in verdicts if verdict.status == "unavailable"]
    if failed:
        reason = failed[0].diagnostics[0].message if failed[0].diagnostics else "no reason was given"
        raise SandboxFailure(f"the verifier failed for {len(failed)} codes ({reason}); start again to continue")
    return list(verdicts)


def as_program(row: Document) -> str:
    """What to compile: an example without `fn main` is wrapped into one, as rustdoc does it; a file stays as it is."""
    if row.kind != "example" or _MAIN.search(row.code):
        return row.code
    head = _CRATE_ATTRIBUTES.match(row.code).group()
    return f"{head}fn main() {{\n{row.code[len(head) :]}\n}}\n"


def verify_sample(rows: Sequence[Document], size: int, edition: str = "2021", progress: bool = True) -> VerifiedSample:
    """
    Verify `size` rows, chosen at random but the same ones each time. Without a compiler, or without a sandbox for it,
    the sample says so instead: it informs, it decides nothing.
    """
    sample = random.Random(0).sample(list(rows), min(size, len(rows)))
    try:
        with RustVerifier(edition) as verifier:
            verdicts = verifier.verify([as_program(row) for row in sample], progress=progress)
    except (ToolchainUnavailable, SandboxUnavailable) as error:
        return VerifiedSample(len(rows), {}, problem=str(error))
    return VerifiedSample(
        texts=len(rows),
        counts=dict(Counter(verdict.status for verdict in verdicts).most_common()),
        external=sum(verdict.external for verdict in verdicts),
        seconds=sum(verdict.seconds for verdict in verdicts if not verdict.cached),
    )
