"""Settings of text generation, for benchmarks and chats; without PyTorch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GenerationSettings:
    """
    How text is generated. Fields that `transformers.GenerationConfig` has, too, have the same names.

    Attributes:
        num_samples: Completions per prompt.
        temperature: Sampling temperature; 0 decodes greedily.
        top_p: Nucleus sampling: the smallest set of tokens with this much probability is kept.
        max_new_tokens: Maximum number of generated tokens per completion.
        seed: Seed of the sampling.
        batch_size: Completions generated together. Another size gives other samples.
        num_loops, exit_at_loop, exit_threshold: Depth of a LoopLM; None uses the model's configuration.

    Raises:
        ValueError: A value is out of range, or several samples are asked for at temperature 0.
    """

    num_samples: int = 1
    temperature: float = 0.2
    top_p: float = 0.95
    max_new_tokens: int = 512
    seed: int = 0
    batch_size: int = 8
    num_loops: int | None = None
    exit_at_loop: int | None = None
    exit_threshold: float | None = None

    def __post_init__(self):
        for name, value in (
            ("num_samples", self.num_samples),
            ("max_new_tokens", self.max_new_tokens),
            ("batch_size", self.batch_size),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be at least 0 and finite, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.temperature == 0 and self.num_samples > 1:
            raise ValueError(
                f"num_samples must be 1 at temperature 0, where all samples are equal, got {self.num_samples}"
            )

    @property
    def depth(self) -> dict[str, int | float]:
        """The depth settings that are not None, by name."""
        depth = {
            "num_loops": self.num_loops,
            "exit_at_loop": self.exit_at_loop,
            "exit_threshold": self.exit_threshold,
        }
        return {name: value for name, value in depth.items() if value is not None}
