"""HTML pages of completions with their verdicts, linked to each other and listed in an index."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

from evaluation.pages.html import render, write_whole
from evaluation.pages.samples import PackedSamples, ShownDiagnostic, ShownSample, pack

INDEX = "index.html"
TEMPLATES = Path(__file__).parent.with_name("templates")
# For runs that do not log the condition for a success.
UNKNOWN_SUCCESS = "by the reward"


def as_text(part: Any) -> str:
    """Return a prompt or a completion as text; for a conversation, its messages one after the other."""
    if isinstance(part, str):
        return part
    return "\n".join(f"{message['role']}: {message['content']}" for message in part) + "\n"


@dataclass(frozen=True)
class JudgedSample:
    """
    A completion with its judgment.

    Attributes:
        prompt: A text, or the messages of a conversation.
        completion: Completion in the form of the prompt.
        success: 1 or 0; NaN where the completion could not be judged.
        advantage: Weight in the policy gradient.
        verdict: Status of the verdict; empty when there is none.
        message: First diagnostic, as rustc prints it.
    """

    prompt: Any
    completion: Any
    success: float
    advantage: float
    verdict: str
    message: str

    @property
    def kind(self) -> Literal["success", "failure", "unscorable"]:
        """`success`, `failure`, or `unscorable` where the completion could not be judged."""
        return "unscorable" if math.isnan(self.success) else "success" if self.success else "failure"


@dataclass(frozen=True)
class SamplePage:
    """
    Completions of one step.

    Attributes:
        title: Title of the page, such as "Step 8".
        success: Condition for a success, in words.
        samples: Completions in the order of the page.
    """

    title: str
    success: str
    samples: tuple[JudgedSample, ...]

    @classmethod
    def of(cls, title: str, success: str, samples: Sequence[JudgedSample]) -> "SamplePage":
        """Make a page: grouped by prompt, the most often solved prompts and the successes first."""
        rates: dict[str, list[bool]] = {}
        for sample in samples:
            rates.setdefault(as_text(sample.prompt), []).append(sample.kind == "success")

        def place(sample: JudgedSample) -> tuple:
            prompt = as_text(sample.prompt)
            solved = sum(rates[prompt]) / len(rates[prompt])
            return -solved, prompt, sample.kind != "success", -sample.advantage

        return cls(title, success, tuple(sorted(samples, key=place)))

    @property
    def groups(self) -> list[list[JudgedSample]]:
        """Completions grouped by prompt."""
        return [list(group) for _, group in groupby(self.samples, key=lambda sample: as_text(sample.prompt))]

    def shown(self, run: str = "") -> Iterator[ShownSample]:
        """Yield the completions, grouped by prompt, in the form of a page; `run` names them."""
        for number, group in enumerate(self.groups, start=1):
            successes = sum(sample.kind == "success" for sample in group)
            for index, sample in enumerate(group):
                message = sample.message.strip()
                first, _, _ = message.partition("\n")
                yield ShownSample(
                    run=run,
                    suite="",
                    problem=f"Prompt {number}: {successes} of {len(group)} succeed",
                    index=index,
                    status=sample.verdict,
                    kind=sample.kind,
                    prompt=as_text(sample.prompt),
                    code=as_text(sample.completion),
                    diagnostics=(ShownDiagnostic(first, rendered=sample.message),) if message else (),
                    facts=(sample.kind, f"advantage {sample.advantage:+.2f}"),
                )

    def packed(self) -> PackedSamples:
        """Return all completions for the browser of samples."""
        return pack(self.shown())

    @property
    def solved(self) -> int:
        """Number of completions that succeed."""
        return sum(sample.kind == "success" for sample in self.samples)

    @property
    def groups_solved(self) -> int:
        """Number of prompts with a success."""
        return sum(any(sample.kind == "success" for sample in group) for group in self.groups)

    @property
    def verdicts(self) -> list[tuple[str, int]]:
        """Verdicts and their number, the most frequent first."""
        return Counter(sample.verdict for sample in self.samples).most_common()

    @classmethod
    def read(cls, path: Path) -> "SamplePage":
        """Read the JSON file beside a page."""
        values = json.loads(path.read_text(encoding="utf-8"))
        rows = [row | {"success": math.nan if row["success"] is None else row["success"]} for row in values["samples"]]
        return cls(values["title"], values["success"], tuple(JudgedSample(**row) for row in rows))

    def write(self, path: Path) -> Path:
        """Write the page as JSON, with null for an unknown success."""
        rows = [asdict(sample) for sample in self.samples]
        rows = [row | {"success": None if math.isnan(row["success"]) else row["success"]} for row in rows]
        content = {"title": self.title, "success": self.success, "samples": rows}
        return write_whole(path, json.dumps(content, indent=1) + "\n")


def write_page(path: Path, title: str, samples: Sequence[JudgedSample], success: str = UNKNOWN_SUCCESS) -> Path:
    """
    Write a page, its content as JSON beside it, and the folder's `index.html`, and link the previous page to it.

    Args:
        path: HTML file. The pages of a folder are ordered by their names; pages after this one, left by a run that was
            killed and now resumes from an earlier step, are removed.
        title: Title of the page, such as "Step 8".
        samples: Completions in any order.
        success: Condition for a success, in words.
    """
    folder = path.parent
    for later in [each for each in folder.glob("*.json") if each.stem > path.stem]:
        later.with_suffix(".html").unlink(missing_ok=True)
        later.unlink()
    SamplePage.of(title, success, samples).write(path.with_suffix(".json"))
    pages = [(each.with_suffix(".html").name, SamplePage.read(each)) for each in sorted(folder.glob("*.json"))]
    names = [None, *(name for name, _ in pages), None]
    for number in range(max(0, len(pages) - 2), len(pages)):
        name, page = pages[number]
        values = {"title": page.title, "page": page, "previous": names[number], "next": names[number + 2]}
        write_whole(folder / name, render("sample_page.html", [TEMPLATES], page.packed(), **values))
    index = render("sample_index.html", [TEMPLATES], title="Completions", success=success, pages=pages)
    write_whole(folder / INDEX, index)
    return path
