"""The record of one evaluation in the middle of training, and the file of these records."""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

FILE_NAME = "evaluations.jsonl"


@dataclass(frozen=True)
class EvaluationRecord:
    """
    One evaluation. A number that was not measured, such as HumanEval-Rust where programs may not be run, is None.

    Attributes:
        step: Optimizer steps before it.
        compile_rate: Share of the compile-rate prompts whose completion compiles with its signature.
        compile_rate_of: Number of these prompts.
        semantic_score: Share of the minimal pairs in which the program that compiles is the more probable one.
        semantic_score_of: Number of these pairs.
        humaneval_score: pass@1 on HumanEval-Rust, decoded greedily.
        humaneval_score_of: Number of its problems that were reached in the time.
        perplexity: Per token of the held-out text.
        timestamp: End of the evaluation, ISO 8601 in UTC.
        seconds: From the first start of the training to the end of the evaluation; includes the time between a kill
            and its continuation.
    """

    step: int
    compile_rate: float | None
    compile_rate_of: int | None
    semantic_score: float | None
    semantic_score_of: int | None
    humaneval_score: float | None
    humaneval_score_of: int | None
    perplexity: float | None
    timestamp: str
    seconds: float

    @classmethod
    def of(cls, step: int, measured: Mapping[str, float], started: datetime, ended: datetime) -> Self:
        """Return the record of the numbers that `ContinuousEvaluation` measured."""

        def number_of(name: str) -> int | None:
            number = measured.get(f"{name}_of")
            return None if number is None else int(number)

        return cls(
            step=step,
            compile_rate=measured.get("eval_compiles"),
            compile_rate_of=number_of("eval_compiles"),
            semantic_score=measured.get("eval_semantic_correctness"),
            semantic_score_of=number_of("eval_semantic_correctness"),
            humaneval_score=measured.get("eval_humaneval_pass"),
            humaneval_score_of=number_of("eval_humaneval_pass"),
            perplexity=measured.get("eval_perplexity"),
            timestamp=ended.isoformat(timespec="milliseconds"),
            seconds=round((ended - started).total_seconds(), 3),
        )


@dataclass(frozen=True)
class EvaluationFile:
    """
    A file of records, one JSON object per line.

    Attributes:
        path: The file.
        started: First start of the training.
    """

    path: Path
    started: datetime

    @classmethod
    def continued(cls, folder: Path, steps: Collection[int], write: bool) -> Self:
        """
        Open the file in a folder for training that begins or goes on.

        Args:
            folder: Folder of the training.
            steps: Steps whose evaluations are complete; other records, and a line that was cut off, are left from a
                run that was killed, and are deleted.
            write: Whether this process may delete them; only one of several may.
        """
        path, kept = folder / FILE_NAME, []
        if path.exists():
            lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
            kept = [line for line in lines if json.loads(line)["step"] in steps]
        started = datetime.now(UTC)
        if kept:
            first = json.loads(kept[0])
            started = datetime.fromisoformat(first["timestamp"]) - timedelta(seconds=first["seconds"])
        if write and path.exists():
            unfinished = path.with_suffix(".jsonl.new")
            unfinished.write_text("".join(kept))
            os.replace(unfinished, path)
        return cls(path, started)

    def append(self, step: int, measured: Mapping[str, float]) -> EvaluationRecord:
        """Append the record of an evaluation that has just ended, and return it."""
        record = EvaluationRecord.of(step, measured, self.started, datetime.now(UTC))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(record)) + "\n")
        return record
