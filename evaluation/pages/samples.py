"""Samples in the form in which a page holds them for its browser of samples."""

import base64
import gzip
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal

Kind = Literal["success", "failure", "unscorable"]
LISTED_WITHOUT_SCRIPT = 100
"""Samples that a page also holds as plain text, for readers without JavaScript."""


@dataclass(frozen=True)
class ShownDiagnostic:
    """
    An error in a sample's code.

    Attributes:
        message: One line.
        code: rustc's error code; None for errors without one.
        line, column: Place in `prompt + code`, counted from 1; None for errors without a place.
        rendered: The message as rustc prints it.
    """

    message: str
    code: str | None = None
    line: int | None = None
    column: int | None = None
    rendered: str = ""


@dataclass(frozen=True)
class ShownSample:
    """
    A completion as a page shows it. The names of the fields are those that `browser.js` reads.

    Attributes:
        run: Results, or stage of training, that it belongs to.
        suite: Benchmark; may be empty.
        problem: Name of the problem.
        index: Index among the samples of the problem.
        status: Status of the verdict.
        kind: Whether it succeeded; `unscorable` where it could not be judged.
        prompt: Text before the model's; may be empty.
        code: Text of the model, or the program that was made of its answer.
        answer: Whole answer, where `code` is a program made of it.
        errors: Distinct error codes.
        diagnostics: Errors.
        facts: Short descriptions, such as "12 tokens".
        token_loops: For each token of `code` its characters and the loop after which it left, see `TokenLoops`.
        depth: Maximum loops of a token; None if it is not known, or the model has no loops.
    """

    run: str
    suite: str
    problem: str
    index: int
    status: str
    kind: Kind
    prompt: str
    code: str
    answer: str = ""
    errors: tuple[str, ...] = ()
    diagnostics: tuple[ShownDiagnostic, ...] = ()
    facts: tuple[str, ...] = ()
    token_loops: list[list[int]] | None = None
    depth: int | None = None


DEFAULTS = {each.name: each.default for each in fields(ShownSample)}


@dataclass(frozen=True)
class PackedSamples:
    """
    Samples of a page.

    Attributes:
        data: JSON lines, compressed by gzip, in base64, which cannot end the element that holds it.
        total: Number of samples.
        first: The first samples, for readers without JavaScript.
    """

    data: str
    total: int
    first: tuple[ShownSample, ...]

    def unpack(self) -> list[dict[str, Any]]:
        """Return the samples as the browser reads them: fields at their defaults are left out."""
        lines = gzip.decompress(base64.b64decode(self.data)).decode().splitlines()
        return [json.loads(line) for line in lines]


def pack(samples: Iterable[ShownSample]) -> PackedSamples:
    """Pack samples for a page; equal samples give equal bytes. Memory grows with the compressed samples only."""
    buffer, total, first = io.BytesIO(), 0, []
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=6) as file:
        for sample in samples:
            # `asdict` would copy the pairs of every token.
            values = {name: value for name, value in vars(sample).items() if value != DEFAULTS[name]}
            if sample.diagnostics:
                values["diagnostics"] = [vars(each) for each in sample.diagnostics]
            file.write(json.dumps(values, separators=(",", ":")).encode() + b"\n")
            if total < LISTED_WITHOUT_SCRIPT:
                first.append(sample)
            total += 1
    return PackedSamples(base64.b64encode(buffer.getvalue()).decode(), total, tuple(first))
