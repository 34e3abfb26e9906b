"""Pages of completions and what the judge says of them, for people to read, with an index and links between them."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from trainers.html_pages import as_text, render, write_whole

INDEX = "index.html"
# Of runs that do not say what their reward asks for.
UNKNOWN_SUCCESS = "by the reward"


@dataclass(frozen=True)
class JudgedSample:
    """
    One completion.

    Attributes:
        prompt: A text, or the messages of a conversation.
        completion: The model's answer, in the same form.
        success: 1 or 0, NaN where the judge could not say.
        advantage: Its weight in the policy gradient.
        verdict: The verdict's status; empty when it is not known.
        message: The first reason, as rustc prints it.
    """

    prompt: Any
    completion: Any
    success: float
    advantage: float
    verdict: str
    message: str

    @property
    def kind(self) -> str:
        """`success`, `failure`, or `unscorable` where the judge could not say."""
        return "unscorable" if math.isnan(self.success) else "success" if self.success else "failure"


@dataclass(frozen=True)
class SamplePage:
    """
    The completions of one step.

    Attributes:
        title: Such as "Step 8".
        success: What the reward asks for, in words.
        samples: In the order in which they are shown.
    """

    title: str
    success: str
    samples: tuple[JudgedSample, ...]

    @classmethod
    def of(cls, title: str, success: str, samples: Sequence[JudgedSample]) -> "SamplePage":
        """Completions of one prompt together; prompts that are solved most often and successes come first."""
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
        """The completions by prompt."""
        return [list(group) for _, group in groupby(self.samples, key=lambda sample: as_text(sample.prompt))]

    @property
    def solved(self) -> int:
        """How many completions succeed."""
        return sum(sample.kind == "success" for sample in self.samples)

    @property
    def groups_solved(self) -> int:
        """How many prompts have a success."""
        return sum(any(sample.kind == "success" for sample in group) for group in self.groups)

    @property
    def verdicts(self) -> list[tuple[str, int]]:
        """Statuses and their number, the most frequent first."""
        return Counter(sample.verdict for sample in self.samples).most_common()

    @classmethod
    def read(cls, path: Path) -> "SamplePage":
        """Reads the JSON file beside a page."""
        values = json.loads(path.read_text(encoding="utf-8"))
        rows = [row | {"success": math.nan if row["success"] is None else row["success"]} for row in values["samples"]]
        return cls(values["title"], values["success"], tuple(JudgedSample(**row) for row in rows))

    def write(self, path: Path) -> Path:
        """As JSON, in which an unknown success is null."""
        rows = [asdict(sample) for sample in self.samples]
        rows = [row | {"success": None if math.isnan(row["success"]) else row["success"]} for row in rows]
        content = {"title": self.title, "success": self.success, "samples": rows}
        return write_whole(path, json.dumps(content, indent=1) + "\n")


def write_page(path: Path, title: str, samples: Sequence[JudgedSample], success: str = UNKNOWN_SUCCESS) -> Path:
    """
    Writes a page, the same as JSON beside it, and the folder's `index.html`; the page before it gets its link.

    Args:
        path: The HTML file; the pages of a folder follow each other by their names. Later ones, which a run left that
            was killed and continues from an earlier step, are removed.
        title: Of the page, such as "Step 8".
        samples: In any order.
        success: What the reward asks for, in words.
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
        write_whole(folder / name, render("sample_page.html", **values))
    write_whole(folder / INDEX, render("sample_index.html", title="Completions", success=success, pages=pages))
    return path
