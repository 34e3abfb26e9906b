"""Settings of a preparation: which rows are kept, and how they are verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainers.data.sources.filters import SourceFilter


@dataclass(frozen=True)
class PreparationSettings:
    """
    Which documents become rows.

    Attributes:
        filter: Licenses, and minimum numbers of stars and tests.
        near_duplicates: Jaccard similarity from which a document is a near-duplicate of an earlier one; 0 keeps them.
        decontaminate: Leave out documents with text of the project's benchmarks.
        verify: Check crates as a whole, which runs their build scripts in the sandbox, and compile by itself what no
            crate verifies. Without it no row is verified.
        min_compile_rate: Smallest share of a source's judged rows that must compile.
        verify_every_n_examples: Judged rows of a source between two checks of its rate.
        difficulty: Shares of the bytes by level ("easy", "medium", "hard"); None keeps all rows.
        limit: Maximum number of documents of each source; None for all.
        seed: Seed of the choice of rows by difficulty.

    Raises:
        ValueError: A value is outside its range.
    """

    filter: SourceFilter = field(default_factory=SourceFilter)
    near_duplicates: float = 0.8
    decontaminate: bool = True
    verify: bool = True
    min_compile_rate: float = 0.0
    verify_every_n_examples: int = 100
    difficulty: Mapping[str, float] | None = None
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, rule, holds in (
            ("near_duplicates", self.near_duplicates, "from 0 to 1", 0 <= self.near_duplicates <= 1),
            ("min_compile_rate", self.min_compile_rate, "from 0 to 1", 0 <= self.min_compile_rate <= 1),
            (
                "verify_every_n_examples",
                self.verify_every_n_examples,
                "at least 1",
                self.verify_every_n_examples >= 1,
            ),
            ("limit", self.limit, "None or at least 1", self.limit is None or self.limit >= 1),
        ):
            if not holds:
                raise ValueError(f"{name} must be {rule}, got {value!r}")
