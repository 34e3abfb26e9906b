"""The samples of a run with their verdicts, read from the files beside its results."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluation.pages.samples import Kind, ShownDiagnostic, ShownSample
from evaluation.report.runs import Run, maximum_loops
from evaluation.results import Results

WITHOUT_CODE = "NOCODE"
"""Stands in files of verdicts for errors that have no code."""


def shown_samples(run: Run, results: Results) -> Iterator[ShownSample]:
    """
    Yield the samples of a suite with their verdicts, in the order of their file; none where a suite keeps no samples.
    Samples without a verdict, and verdicts of earlier versions, which have no program, are shown as far as they go.

    Memory grows with the verdicts of one suite.

    Raises:
        ValueError: A line of a file is not JSON.
    """
    verdicts = {
        (each["prompt"], each["index"]): each
        for each in _lines(run.path / f"{results.benchmark}.verdicts.jsonl")
        if "prompt" in each
    }
    for sample in _lines(run.path / f"{results.benchmark}.samples.jsonl"):
        if "completion" in sample:  # the first line says what the samples are of
            verdict = verdicts.get((sample["prompt"], sample["index"]), {})
            yield _shown(sample, verdict, run.name, results)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the JSON lines of a file; a last line that was not completely written is left out."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="surrogatepass", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                if not line.endswith("\n"):
                    return
                raise ValueError(f"{path} must hold a JSON object in each line, got line {number}: {error}") from error


def _shown(sample: dict[str, Any], verdict: dict[str, Any], run: str, results: Results) -> ShownSample:
    completion, program = sample["completion"], verdict.get("program")
    prompt, code, answer = "", completion, ""
    if program is not None:
        # A suite may append to the completion, and a program that was made of an answer does not hold it.
        place = program.rfind(completion)
        prompt, code = program[: max(place, 0)], program[max(place, 0) :]
        answer = completion if place < 0 else ""
    status = verdict.get("status", "")
    kind: Kind = "unscorable" if status in ("", "unavailable") else "success" if status == "valid" else "failure"
    return ShownSample(
        run=run,
        suite=results.benchmark,
        problem=sample["prompt"],
        index=sample["index"],
        status=status,
        kind=kind,
        prompt=prompt,
        code=code,
        answer=answer,
        errors=tuple(code for code in verdict.get("errors", ()) if code != WITHOUT_CODE),
        diagnostics=tuple(
            # Without the program, lines would be those of a text that is not shown.
            ShownDiagnostic(
                each["message"],
                each["code"],
                None if program is None else each["line"],
                None if program is None else each["column"],
                each["rendered"],
            )
            for each in verdict.get("diagnostics", ())
        ),
        facts=tuple(_facts(sample, verdict)),
        token_loops=None if answer else sample.get("token_loops"),
        depth=maximum_loops(results),
    )


def _facts(sample: dict[str, Any], verdict: dict[str, Any]) -> Iterator[str]:
    if verdict.get("tests_total"):
        yield f"{verdict['tests_passed']} of {verdict['tests_total']} tests pass"
    yield f"{sample['tokens']} token{'' if sample['tokens'] == 1 else 's'}"
    if sample["mean_loops"] is not None:
        yield f"{sample['mean_loops']:.2f} loops per token"
    if not sample["finished"]:
        yield "without an end"
