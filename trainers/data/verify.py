"""Verification of documents with the compiler."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from evaluation.rust import RustVerifier, SandboxUnavailable, ToolchainUnavailable, Verdict
from evaluation.rust.sandbox.runner import SandboxFailure
from trainers.data.sources import EXAMPLE, Document
from trainers.data.sources.rustdoc import rustdoc_program

BATCH = 512
"""Programs that are verified at once."""
Item = TypeVar("Item")


@dataclass(frozen=True)
class VerifiedSample:
    """
    Verdicts on a random sample of the documents.

    Attributes:
        texts: Number of documents to choose from.
        counts: Number of verdicts by status, most frequent first.
        external: Number of documents that fail only because they use external crates or files.
        seconds: Total time of all compiler calls.
        problem: Reason why nothing could be verified, or None.
    """

    texts: int
    counts: dict[str, int]
    external: int = 0
    seconds: float = 0.0
    problem: str | None = None


def decided(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """
    Return the verdicts if all of them are about the code.

    Raises:
        SandboxFailure: The compiler or the sandbox failed for some. Omitting these would change the data set.
    """
    failed = [verdict for verdict in verdicts if verdict.status == "unavailable"]
    if failed:
        reason = failed[0].diagnostics[0].message if failed[0].diagnostics else "no reason was given"
        raise SandboxFailure(
            f"the verifier failed for {len(failed)} programs ({reason}); run the same command to continue"
        )
    return list(verdicts)


def first_compiling(
    items: Iterable[Item],
    count: int,
    verifier: RustVerifier,
    program: Callable[[Item], str],
    advance: Callable[[int], None] = lambda done: None,
    accepts: Callable[[Item], bool] = lambda item: True,
) -> list[Item]:
    """
    Return the first items whose programs compile.

    Args:
        items: Items in any number; no more are read than needed.
        count: Maximum number of items.
        verifier: Compiles the programs.
        program: Returns the program of an item.
        advance: Called with the number of items that were just found.
        accepts: Asked for each item that compiles; those that it does not accept are left out.

    Raises:
        SandboxFailure: The compiler or the sandbox failed for some program.
    """
    found: list[Item] = []
    remaining = iter(items)
    while len(found) < count and (some := list(islice(remaining, BATCH))):
        verdicts = decided(verifier.verify([program(item) for item in some]))
        new = [item for item, verdict in zip(some, verdicts, strict=True) if verdict.ok and accepts(item)]
        new = new[: count - len(found)]
        found += new
        advance(len(new))
    return found


def as_program(row: Document) -> str:
    """Return the program to compile: an example is completed like rustdoc does it; anything else stays as it is."""
    return rustdoc_program(row.code) if row.kind == EXAMPLE else row.code


def verify_sample(rows: Sequence[Document], size: int, edition: str = "2021", progress: bool = True) -> VerifiedSample:
    """
    Verify a random sample of `size` documents, which is the same each time. If there is no compiler or no sandbox for
    it, the result says so instead of raising an error.
    """
    sample = [rows[place] for place in random.Random(0).sample(range(len(rows)), min(size, len(rows)))]
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
