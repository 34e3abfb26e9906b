"""Settings of an evaluation, shared by all suites."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evaluation.chat_mode import ChatMode
from evaluation.generation_settings import GenerationSettings

USUAL_K = (1, 10, 100)
"""Values of k with which pass@k is usually reported."""


@dataclass(frozen=True)
class EvaluationSettings:
    """
    Settings from which suites load their problems and run; each suite uses those it needs.

    Attributes:
        generation: How completions are sampled, and the depth of a LoopLM.
        k: Values of k to estimate pass@k for; none above the number of samples per problem. Empty for all of 1, 10 and
            100 that are not, see `ks`.
        limit: Number of problems, or texts, to use of each suite, from the first; None uses all.
        problems: Problem files by suite name, such as `{"humaneval-rust": Path("rows.jsonl")}`. A suite without one
            reads the folder that NANOCHAT_DATA names, or the Hub.
        crates: Folder of crate sources, for hole tasks.
        repair_of: Suite whose problems the suite `repair` asks: "humaneval-rust" or "compile-rate".
        skip_bad_rows: Leave out rows that hold no valid problem and problems whose reference solution fails, and list
            them in the results, instead of raising.
        chat: How an instruction-tuned model is asked; None for a base model, which continues the prompt.
        edition: Rust edition; None uses each suite's own.
        run_timeout: Seconds of processor time for each program.
        num_workers: Number of compilers that run at the same time; None for one per processor.
        text: Folder of .rs files, one such file, or JSON lines with a column `code`, for the perplexity.
        window: Window of the perplexity in tokens.
        batch_sizes, prompt_tokens, new_tokens, rounds, exit_thresholds: See `Workload`, for the performance.

    Raises:
        ValueError: A value is out of range.
    """

    generation: GenerationSettings = field(default_factory=GenerationSettings)
    k: Sequence[int] = ()
    limit: int | None = None
    problems: Mapping[str, Path] = field(default_factory=dict)
    crates: Path | None = None
    repair_of: str = "humaneval-rust"
    skip_bad_rows: bool = False
    chat: ChatMode | None = None
    edition: str | None = None
    run_timeout: float = 5.0
    num_workers: int | None = None
    text: Path | None = None
    window: int = 512
    batch_sizes: Sequence[int] = (1, 8)
    prompt_tokens: int = 128
    new_tokens: int = 32
    rounds: int = 3
    exit_thresholds: Sequence[float] | None = None

    def __post_init__(self):
        for k in self.k:
            if not 1 <= k <= self.generation.num_samples:
                raise ValueError(f"k must be from 1 to num_samples, {self.generation.num_samples}, got {k}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, got {self.limit}")
        if self.window < 2:
            raise ValueError(f"window must be at least 2 tokens, got {self.window}")

    @property
    def ks(self) -> Sequence[int]:
        """Values of k to estimate pass@k for."""
        return self.k or [k for k in USUAL_K if k <= self.generation.num_samples]

    def at_temperature(self, temperature: float) -> "EvaluationSettings":
        """Return the settings with another temperature. Greedy decoding has one sample, and pass@1 only."""
        if temperature > 0:
            return replace(self, generation=replace(self.generation, temperature=temperature))
        generation = replace(self.generation, temperature=temperature, num_samples=1)
        return replace(self, generation=generation, k=(1,) if self.k else ())
