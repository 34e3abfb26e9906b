"""Tasks in a file, asked in a chat and judged by their hidden tests: what all adapters have in common."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.judging import Judge
from evaluation.rust.syntax.answers import extract_rust
from evaluation.rust.tests_text import tests_from_text
from evaluation.rust.verdict import Verdict

INSTRUCTION = "Implement this function in Rust. Answer with one code block that contains the complete program.\n\n"
MAX_MESSAGE = 2000
"""Characters of the compiler's messages."""
UNFINISHED = "The answer must have a closed block of Rust."


@dataclass(frozen=True)
class JudgedTask:
    """
    A task.

    Attributes:
        prompt: A question, or Rust up to the opening brace of the function to implement.
        tests: Text of its tests (`evaluation/rust/tests_text.py`).

    Raises:
        ValueError: The tests are faulty, or cannot judge an answer in a chat.
    """

    prompt: str
    tests: str

    def __post_init__(self):
        if not isinstance(self.prompt, str):
            raise ValueError(f"prompt must be a text, got {type(self.prompt).__name__}")
        tests = tests_from_text(self.tests)
        if isinstance(tests, HoleTests | str):
            raise ValueError("tests must be of a whole program, got tests of a hole or tests that are appended")

    @property
    def question(self) -> str:
        """What a model is asked."""
        code = self.prompt.rstrip()
        if not code.endswith("{"):
            return self.prompt
        return f"{INSTRUCTION}```rust\n{code.removesuffix('{').rstrip()};\n```"


@dataclass(frozen=True)
class Judged:
    """
    The judge's answer to one answer of a model.

    Attributes:
        reward: 1, 0, or None where the judge failed.
        status: Of the verdict; "unfinished" without a block of Rust.
        message: What a model may be told about a failure; it does not show the hidden tests.
    """

    reward: float | None
    status: str
    message: str


def read_tasks(path: str | Path) -> list[JudgedTask]:
    """
    Read a file of tasks: a JSON object in each line, with `prompt`, and `tests` or `signature` and `checker`.

    Raises:
        ValueError: A line is none, or there is no task.
        OSError: The file cannot be read.
    """
    tasks = []
    for number, line in enumerate(Path(path).read_text().splitlines(), 1):
        try:
            values: dict[str, Any] = json.loads(line)
            if "tests" in values:
                tests = values["tests"]
            else:
                tests = json.dumps({"signature": values["signature"], "checker": values["checker"]})
            tasks.append(JudgedTask(values["prompt"], tests))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"line {number} of {path} must be a task: {error}") from error
    if not tasks:
        raise ValueError(f"{path} must have a task in each line, got none")
    return tasks


def judged(judge: Judge, tasks: Sequence[JudgedTask], answers: Sequence[str], deadline: float) -> list[Judged]:
    """
    Judge one answer for each task.

    Args:
        judge: Compiles and runs the programs.
        tasks: The tasks.
        answers: Messages of a model, with the program in their last block of Rust.
        deadline: Seconds for all.
    """
    programs = [extract_rust([{"role": "assistant", "content": answer}]) for answer in answers]
    asked = [(program, task) for program, task in zip(programs, tasks, strict=True) if program is not None]
    codes = [program for program, _ in asked]
    verdicts = iter(judge.judge(codes, [tests_from_text(task.tests) for _, task in asked], "reward", deadline))
    return [
        Judged(0.0, "unfinished", UNFINISHED) if program is None else _judged(next(verdicts)) for program in programs
    ]


def _judged(verdict: Verdict) -> Judged:
    if verdict.status == "unavailable":
        return Judged(None, verdict.status, verdict.diagnostics[0].message if verdict.diagnostics else "")
    return Judged(float(verdict.ok), verdict.status, told(verdict))


def told(verdict: Verdict) -> str:
    """Return what a model may be told about a verdict: the compiler's words, and of tests only that they fail."""
    if verdict.ok:
        return "It passes its tests."
    if verdict.status == "tests_failed":
        signature = [each.message for each in verdict.diagnostics if each.category == "signature"]
        return "; ".join(signature)[:MAX_MESSAGE] or "It compiles, but does not pass its tests."
    texts = [(each.rendered or each.message).rstrip() for each in verdict.diagnostics]
    return "\n\n".join(texts)[:MAX_MESSAGE] or f"It fails: {verdict.status}."
