"""What the trainings say about the claims: tables, verdicts and the page."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from reporting import Columns

from claims.definitions import ELSEWHERE, REPORTED, Claim, Comparison
from claims.settings import BASE, BATCH_SIZE, MODEL, SEQ_LEN, SETTINGS, TRAINING
from claims.training import configuration, parameters_of
from evaluation.results import Interval, bootstrap
from modeling_nanochat import LoopLMForCausalLM


@dataclass(frozen=True)
class Results:
    """
    Results of `train`, by setting and seed.

    Attributes:
        found: The results.
        seeds: The seeds.
    """

    found: Mapping[tuple[str, int], dict[str, Any]]
    seeds: Sequence[int]
    _differences: dict[tuple[str, str], Interval] = field(default_factory=dict)

    def losses(self, name: str) -> list[float]:
        """Held-out loss after the last loop, of each seed."""
        return [self.found[name, seed]["by_loop"][-1] for seed in self.seeds]

    def loss(self, name: str) -> float:
        """The mean of `losses`."""
        return statistics.mean(self.losses(name))

    def best(self, names: Sequence[str]) -> str:
        """The setting with the lowest loss."""
        return min(names, key=self.loss)

    def difference(self, ours: str, other: str) -> Interval:
        """Loss of ours minus that of the other one, over the held-out blocks, with its bootstrap interval."""
        if (ours, other) not in self._differences:
            pairs = zip(self._by_block(ours), self._by_block(other), strict=True)
            self._differences[ours, other] = bootstrap([a - b for a, b in pairs])
        return self._differences[ours, other]

    def _by_block(self, name: str) -> list[float]:
        blocks = [self.found[name, seed]["by_block"] for seed in self.seeds]
        return [statistics.mean(each) for each in zip(*blocks, strict=True)]

    def by_seed(self, ours: str, other: str) -> list[float]:
        """Loss of ours minus that of the other one, of each seed."""
        return [a - b for a, b in zip(self.losses(ours), self.losses(other), strict=True)]

    def holds(self, comparison: Comparison) -> bool:
        """Whether the whole interval, and every seed, is on the claimed side."""
        ours, other = self.best(comparison.ours), self.best(comparison.other)
        high = self.difference(ours, other).high
        assert high is not None, "there are several held-out blocks"
        return max(high, *self.by_seed(ours, other)) < comparison.tolerance

    def fails(self, comparison: Comparison) -> bool:
        """Whether the whole interval, and every seed, is on the other side."""
        ours, other = self.best(comparison.ours), self.best(comparison.other)
        low = self.difference(ours, other).low
        assert low is not None, "there are several held-out blocks"
        return min(low, *self.by_seed(ours, other)) > comparison.tolerance

    def verdict(self, claim: Claim) -> str:
        """What the first comparison of a claim says about it."""
        first = claim.comparisons[0]
        if self.holds(first):
            return "supported here"
        return "not supported here" if self.fails(first) else "not to be shown at this size"


def signed(interval: Interval) -> str:
    """Format a difference with its interval."""
    return f"{interval.value:+.3f} ({interval.limits('+.3f')})"


def trainings(results: Results, names: Sequence[str]) -> Columns:
    """One row for each setting."""
    base = results.found[names[0], results.seeds[0]]
    rows = []
    for name in names:
        found = [results.found[name, seed] for seed in results.seeds]
        losses, first = results.losses(name), found[0]
        by_loop = [statistics.mean(each) for each in zip(*(each["by_loop"] for each in found), strict=True)]
        rows.append(
            [
                SETTINGS[name].title,
                f"{first['parameters'] / 1000:,.0f}",
                f"{first['flops'] * first['steps'] / (base['flops'] * base['steps']):.2f}",
                f"{first['steps']:,}",
                f"{statistics.mean(losses):.3f}",
                f"{min(losses):.3f} to {max(losses):.3f}",
                " ".join(f"{loss:.3f}" for loss in by_loop),
                f"{statistics.mean(each['seconds'] for each in found) / 60:.1f}",
            ]
        )
    titles = ("Training", "Block parameters, k", "FLOPs", "Steps", "Loss", "Seeds", "By loop", "Minutes")
    return Columns(titles, 1, rows)


def comparisons(results: Results, claim: Claim) -> Columns:
    """One row for each comparison of a claim."""
    rows = []
    for each in claim.comparisons:
        ours, other = results.best(each.ours), results.best(each.other)
        by_seed = results.by_seed(ours, other)
        rows.append(
            [
                SETTINGS[ours].title,
                SETTINGS[other].title,
                signed(results.difference(ours, other)),
                f"{min(by_seed):+.3f} to {max(by_seed):+.3f}",
                f"below {each.tolerance:g}",
                "yes" if results.holds(each) else "no",
            ]
        )
    return Columns(("Training", "minus", "Difference", "Seeds", "Claimed", "Holds"), 2, rows)


def summary(results: Results, claims: Sequence[Claim]) -> Columns:
    """One row for each claim."""
    rows = []
    for claim in claims:
        first = claim.comparisons[0]
        ours, other = results.best(first.ours), results.best(first.other)
        rows.append([claim.text, claim.source, signed(results.difference(ours, other)), results.verdict(claim)])
    return Columns(("Claim", "Source", "Difference in loss", "Verdict"), 2, rows)


def reported() -> Columns:
    """Numbers that models of this size cannot show."""
    rows = [[each.number, each.text, each.known, each.here] for each in REPORTED]
    return Columns(("Number", "Said to be", "Origin", "Here"), 4, rows)


def elsewhere() -> Columns:
    """Claims that other pages are about, or none."""
    return Columns(("Claim", "Source", "Where"), 3, [[each.text, each.source, each.where] for each in ELSEWHERE])


def write_page(results: Results, claims: Sequence[Claim], path: Path, command: str, header: str, steps: int) -> None:
    """Write the page; `steps` are those of a setting of length 1."""
    with torch.device("meta"):
        parameters = parameters_of(LoopLMForCausalLM(configuration(SETTINGS[BASE])))
    sections = "\n\n".join(
        f"### {claim.name.replace('_', ' ').capitalize()}\n\n{claim.text}\n\n"
        f"{trainings(results, claim.names).markdown()}\n\n{comparisons(results, claim).markdown()}"
        for claim in claims
    )
    path.write_text(f"""# Claims, tested at a small size

Written by

```bash
{command}
```

on {header}. Seeds {", ".join(map(str, results.seeds))}.

Each claim is tested by trainings of a few minutes on two processor cores: unless the tables say
otherwise, a ternary model of width {MODEL["hidden_size"]}, with {parameters / 1000:,.0f}k parameters
in its blocks and a vocabulary of {MODEL["vocab_size"]:,} tokens, {steps:,} steps of
{BATCH_SIZE * SEQ_LEN:,} tokens of Rust, AdamW at {TRAINING["learning_rate"]:g}. Losses are on text that is held
out, after the last loop, in nats per token.
Differences are means over seeds and blocks with 95 % bootstrap intervals over the blocks. A claim is
supported here if the interval of its first comparison, and the difference of each seed, lie on the
claimed side, and not supported if all of them lie on the other. If seeds disagree, trainings of this
size do not show it. What holds for larger models this cannot tell.

{summary(results, claims).markdown()}

## Reported numbers that models of this size cannot show

{reported().markdown()}

## Claims that trainings of this kind do not test

{elsewhere().markdown()}

## Trainings and comparisons

"FLOPs" are those of the whole training, relative to the first row; "By loop" is the loss after each
loop; "Minutes" is processor time.

{sections}
""")
    print(f"Written to {path}")
