"""A page of completions and what the judge says of them, for people to read."""

import html
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b1f24; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .4rem; }
pre { background: #f6f8fa; border-radius: 6px; margin: .3rem 0; overflow-x: auto; padding: .6rem .8rem; }
pre.message { background: #fff4f0; } pre .prompt { color: #6a737d; }
table.counts td { padding: .1rem 1rem .1rem 0; }
article { border-left: 4px solid #d0d7de; margin: .8rem 0; padding-left: .8rem; }
article.success { border-color: #2da44e; } article.failure { border-color: #cf222e; }
.label { color: #57606a; font-size: .9rem; }
@media (prefers-color-scheme: dark) {
  body { background: #0d1117; color: #e6edf3; } pre { background: #161b22; } pre.message { background: #2d1a16; }
  pre .prompt, .label { color: #8b949e; }
}
"""


@dataclass(frozen=True)
class JudgedSample:
    """
    One completion.

    Attributes:
        prompt: A text, or the messages of a conversation.
        completion: What the model made of it, in the same form.
        success: 1 or 0, NaN where the judge could not say.
        advantage: What training makes of it.
        verdict: The verdict's status; empty when it is not known.
        message: The first reason, as rustc prints it.
    """

    prompt: Any
    completion: Any
    success: float
    advantage: float
    verdict: str
    message: str


def write_page(path: Path, title: str, samples: Sequence[JudgedSample]) -> Path:
    """One self-contained HTML file; completions of one prompt stand together, successes first."""
    counts = Counter(sample.verdict for sample in samples)
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{count}</td></tr>" for name, count in counts.most_common())
    solved = sum(sample.success == 1 for sample in samples)
    parts = [
        f"<h1>{html.escape(title)}: {solved} of {len(samples)} completions succeed</h1>",
        f'<table class="counts">{rows}</table>',
    ]
    ordered = sorted(samples, key=lambda sample: (as_text(sample.prompt), -sample.advantage))
    for number, (prompt, group) in enumerate(groupby(ordered, key=lambda sample: as_text(sample.prompt)), 1):
        group = list(group)
        solved = sum(sample.success == 1 for sample in group)
        parts.append(f"<h2>Prompt {number}: {solved} of {len(group)}</h2>")
        parts += [_article(prompt, sample) for sample in group]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(page, encoding="utf-8")
    return unfinished.replace(path)


def _article(prompt: str, sample: JudgedSample) -> str:
    kind = "unscorable" if math.isnan(sample.success) else "success" if sample.success else "failure"
    label = f"{kind} &middot; {html.escape(sample.verdict)} &middot; advantage {sample.advantage:+.2f}"
    code = f'<span class="prompt">{html.escape(prompt)}</span>{html.escape(as_text(sample.completion))}'
    message = f'<pre class="message">{html.escape(sample.message)}</pre>' if sample.message else ""
    return f'<article class="{kind}"><div class="label">{label}</div><pre>{code}</pre>{message}</article>'


def as_text(part: Any) -> str:
    """A prompt or a completion as text; the messages of a conversation one after the other."""
    if isinstance(part, str):
        return part
    return "\n".join(f"{message['role']}: {message['content']}" for message in part) + "\n"
