"""A recipe: everything a run depends on, as one typed value."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from modeling_nanochat import LoopLMConfig
from trainers.data.tokenizer import SMALLEST_VOCABULARY


def _check(section: str, field_name: str, value: object, rule: str, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{section}.{field_name} must be {rule}, got {value!r}")


@dataclass(frozen=True)
class DataRecipe:
    """
    What the model reads.

    Attributes:
        data_dir: Folder with .rs files; None takes the installed toolchain's documentation.
        seq_len: Tokens per block.
        vocab_size: Tokens of the tokenizer that is trained on the data.
        validation_fraction: Share of the texts that is held out.
        max_validation_blocks: At most so many held-out blocks are kept to measure the loss on.
        verified_sample: So many of the texts are given to the compiler, to know what the data are worth; 0 for none.
    """

    data_dir: Path | None = None
    seq_len: int = 512
    vocab_size: int = 4096
    validation_fraction: float = 0.02
    max_validation_blocks: int = 256
    verified_sample: int = 256

    def __post_init__(self):
        _check("data", "seq_len", self.seq_len, "at least 2", self.seq_len >= 2)
        most = self.max_validation_blocks
        _check("data", "max_validation_blocks", most, "at least 1", most >= 1)
        _check("data", "verified_sample", self.verified_sample, "at least 0", self.verified_sample >= 0)
        rule = f"at least {SMALLEST_VOCABULARY}"
        _check("data", "vocab_size", self.vocab_size, rule, self.vocab_size >= SMALLEST_VOCABULARY)
        fraction = self.validation_fraction
        _check("data", "validation_fraction", fraction, "above 0 and below 0.5", 0 < fraction < 0.5)


@dataclass(frozen=True)
class TrainingRecipe:
    """
    How it is trained: AdamW with a warmup, a constant phase and a linear decay.

    Attributes:
        total_steps: Optimizer steps.
        warmup_steps: Steps of linear warmup from 0.
        decay_steps: Steps of linear decay at the end; what is between is constant.
        batch_size: Blocks per optimizer step, over all processes.
        micro_batch_size: At most so many blocks per forward pass; the rest is accumulated.
        peak_lr: Learning rate of the constant phase.
        min_lr: Learning rate at the end.
        adam_beta2: AdamW's decay of the second moment.
        weight_decay: AdamW's, on the matrices.
        grad_clip: Largest gradient norm.
        logging_steps: Steps between two log lines.
        save_steps: Steps between two checkpoints to resume from.
        seed: Of the weights and the order of the data.
    """

    total_steps: int
    warmup_steps: int
    decay_steps: int
    batch_size: int
    micro_batch_size: int
    peak_lr: float
    min_lr: float = 0.0
    adam_beta2: float = 0.95
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    logging_steps: int = 10
    save_steps: int = 100
    seed: int = 0

    def __post_init__(self):
        for name in ("total_steps", "batch_size", "micro_batch_size", "logging_steps", "save_steps"):
            _check("training", name, getattr(self, name), "at least 1", getattr(self, name) >= 1)
        _check("training", "total_steps", self.total_steps, "at most 10**9", self.total_steps <= 10**9)
        _check("training", "seed", self.seed, "below 2**32", self.seed < 2**32)
        rule = f"a multiple of logging_steps={self.logging_steps}, so that a resumed run logs the same means"
        _check("training", "save_steps", self.save_steps, rule, self.save_steps % self.logging_steps == 0)
        for name in ("warmup_steps", "decay_steps", "min_lr", "weight_decay", "seed"):
            _check("training", name, getattr(self, name), "at least 0", getattr(self, name) >= 0)
        _check("training", "grad_clip", self.grad_clip, "above 0", self.grad_clip > 0)
        _check("training", "adam_beta2", self.adam_beta2, "from 0 to below 1", 0 <= self.adam_beta2 < 1)
        _check("training", "peak_lr", self.peak_lr, "above min_lr", self.peak_lr > self.min_lr)
        rule = f"at most total_steps={self.total_steps} together with decay_steps={self.decay_steps}"
        fits = self.warmup_steps + self.decay_steps <= self.total_steps
        _check("training", "warmup_steps", self.warmup_steps, rule, fits)

    @property
    def stable_steps(self) -> int:
        """Steps at the peak learning rate."""
        return self.total_steps - self.warmup_steps - self.decay_steps

    def with_total_steps(self, total_steps: int) -> "TrainingRecipe":
        """The same schedule stretched to another length."""
        logging_steps = max(1, min(self.logging_steps, total_steps // 4))
        return replace(
            self,
            total_steps=total_steps,
            warmup_steps=self.warmup_steps * total_steps // self.total_steps,
            decay_steps=self.decay_steps * total_steps // self.total_steps,
            logging_steps=logging_steps,
            save_steps=logging_steps * (self.save_steps // self.logging_steps),
        )

    def micro_batch_for(self, num_processes: int) -> int:
        """The largest micro-batch, up to the recipe's, that divides the batch among the processes; may raise."""
        rule = f"a multiple of the number of processes, {num_processes}"
        _check("training", "batch_size", self.batch_size, rule, self.batch_size % num_processes == 0)
        per_process = self.batch_size // num_processes
        return next(size for size in range(min(self.micro_batch_size, per_process), 0, -1) if per_process % size == 0)


@dataclass(frozen=True)
class Recipe:
    """
    A whole run.

    Attributes:
        name: Names the run's folder.
        description: One sentence for the reader.
        model: The model's configuration; vocabulary and special tokens are taken from the tokenizer.
        data: What it reads.
        training: How it is trained.
        output_dir: Where the run is kept.
        prompt: What the finished model is asked to continue.
    """

    name: str
    description: str
    model: LoopLMConfig
    data: DataRecipe
    training: TrainingRecipe
    output_dir: Path = field(default=Path("runs"))
    prompt: str = "fn "

    def __post_init__(self):
        longest = self.model.max_position_embeddings
        rule = f"at most model.max_position_embeddings={longest}"
        _check("data", "seq_len", self.data.seq_len, rule, self.data.seq_len <= longest)

    @property
    def run_dir(self) -> Path:
        """`output_dir/name`."""
        return self.output_dir / self.name
