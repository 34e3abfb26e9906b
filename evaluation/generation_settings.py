"""Settings of text generation, for benchmarks and chats; without PyTorch."""

from dataclasses import dataclass

from evaluation.token_sampling import TokenSampling

ENGINES = ("torch", "native")


@dataclass(frozen=True, kw_only=True)
class GenerationSettings(TokenSampling):
    """
    How text is generated. Fields that `transformers.GenerationConfig` has, too, have the same names.

    Attributes:
        num_samples: Completions per prompt.
        seed: Seed of the sampling.
        batch_size: Completions generated together. Another size gives other samples.
        num_loops, exit_at_loop, exit_threshold: Depth of a LoopLM; None uses the model's configuration.
        engine: Program that generates, one of `ENGINES`: PyTorch through transformers, or the native engine, which
            runs a LoopLM on the CPU. They draw different random numbers.

    Raises:
        ValueError: A value is out of range, or several samples are asked for at temperature 0.
    """

    num_samples: int = 1
    seed: int = 0
    batch_size: int = 8
    num_loops: int | None = None
    exit_at_loop: int | None = None
    exit_threshold: float | None = None
    engine: str = "torch"

    def __post_init__(self):
        super().__post_init__()
        for name, value in (("num_samples", self.num_samples), ("batch_size", self.batch_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {self.engine!r}")
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
