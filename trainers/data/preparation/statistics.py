"""Counts of verified, rejected and unjudged rows, and the smallest compile rate that a source may have."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from trainers.data.preparation.outcome import Outcome


class CompileRateTooLow(ValueError):
    """A source compiles less often than `min_compile_rate`."""


@dataclass
class SourceStats:
    """
    Counts of one source.

    Attributes:
        total: Rows that reached verification.
        compiled: Verified rows.
        failed_compile: Rows that the compiler rejected, other than those that do not parse.
        invalid: Rows that do not parse.
        not_judged: Rows that nobody could judge.
        reasons: Number of rows that were not verified, by reason.
        by_crate: Number of verified rows whose crate was checked as a whole.
    """

    total: int = 0
    compiled: int = 0
    failed_compile: int = 0
    invalid: int = 0
    not_judged: int = 0
    by_crate: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def judged(self) -> int:
        """Number of rows that the compile rate is a share of."""
        return self.total - self.not_judged

    @property
    def compile_rate(self) -> float | None:
        """Share of the judged rows that compile; None without any."""
        return self.compiled / self.judged if self.judged else None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the counts that `ProcessingStats.to_json` wrote."""
        names = (name for name in cls.__match_args__ if name != "reasons")
        return cls(**{name: values[name] for name in names}, reasons=Counter(values["reasons"]))

    def add(self, outcome: Outcome, reason: str, by_crate: bool = False) -> None:
        """Count one row."""
        self.total += 1
        self.compiled += outcome == "verified"
        self.by_crate += by_crate
        self.not_judged += outcome == "not_judged"
        self.invalid += outcome == "rejected" and reason == "syntax"
        self.failed_compile += outcome == "rejected" and reason != "syntax"
        if outcome != "verified":
            self.reasons[reason] += 1


@dataclass
class ProcessingStats:
    """
    Counts by source, with the rule that stops the work.

    Args:
        min_compile_rate: Smallest share of a source's judged rows that must compile.
        verify_every_n_examples: Number of judged rows of a source between two checks of its rate. A source with fewer
            is checked at the end.
    """

    min_compile_rate: float = 0.0
    verify_every_n_examples: int = 100
    sources: dict[str, SourceStats] = field(default_factory=dict)

    def add(self, source: str, outcome: Outcome, reason: str = "", by_crate: bool = False) -> None:
        """
        Count one row, and check the source's rate after each `verify_every_n_examples` judged ones.

        Raises:
            CompileRateTooLow: The source compiles too rarely.
        """
        stats = self.sources.setdefault(source, SourceStats())
        stats.add(outcome, reason, by_crate)
        if outcome != "not_judged" and stats.judged % self.verify_every_n_examples == 0:
            self._check(source)

    def check(self) -> None:
        """Check the rates at the end. Raises `CompileRateTooLow`."""
        for source in self.sources:
            self._check(source)

    def _check(self, source: str) -> None:
        stats = self.sources[source]
        rate = stats.compile_rate
        if rate is None or rate >= self.min_compile_rate:
            return
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in stats.reasons.most_common(5))
        raise CompileRateTooLow(
            f"source {source} compiles too rarely: {stats.compiled:,} of {stats.judged:,} judged rows ({rate:.1%}), "
            f"min_compile_rate is {self.min_compile_rate:.1%} (not verified: {reasons}). Leave the source out, repair "
            "it, or lower min_compile_rate; nothing of this preparation is used"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {
            source: {"compile_rate": stats.compile_rate, **vars(stats), "reasons": dict(sorted(stats.reasons.items()))}
            for source, stats in sorted(self.sources.items())
        }


def counted(rows: Iterable[dict[str, Any]], stats: ProcessingStats) -> ProcessingStats:
    """Count outcomes as `verification.py` records them: dictionaries with source, outcome, reason and by_crate."""
    for row in rows:
        stats.add(row["source"], row["outcome"], row["reason"], row["by_crate"])
    return stats
