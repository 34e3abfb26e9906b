"""A recipe: everything a run depends on, as one typed value."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from model_cards.gguf.blocks import FORMATS
from modeling_nanochat import LoopLMConfig
from trainers.data.mix import check_shares
from trainers.data.sources import BUILTIN_RUST
from trainers.data.tokenizer import SMALLEST_VOCABULARY
from trainers.stages import MaxRLStage, Stage
from trainers.typed_settings import check, check_types

GATE_STAGE = "gate"


@dataclass(frozen=True)
class DataRecipe:
    """
    What the model reads.

    Attributes:
        data_dir: Folder with .rs files; None takes the installed toolchain's documentation.
        toolchain_docs: Where there is a `data_dir`, read the installed toolchain's documentation beside it. What is
            held out is of `data_dir` alone.
        seq_len: Tokens per block.
        vocab_size: Tokens of the tokenizer that is trained on the data.
        validation_fraction: Share of the texts that is held out.
        max_validation_blocks: At most so many held-out blocks are kept to measure the loss on.
        verified_sample: So many of the texts are given to the compiler, to know what the data are worth; 0 for none.
        synthetic_samples: So many verified samples are made and trained on, as source "synthetic".
        variants: Share of the training texts that are varied in each way, as source "augmented"; those that compile.
        tasks: So many verified tasks are made for reinforcement learning. The solutions of half of those to train on
            are read as source "tasks", the other half's prompts are practised on.
        task_tier: Only tasks of this tier, 0 (one line) to 4; None takes all.
        mix: Shares of the training text by source, such as {"std-examples": 1, "std-sources": 3}; None reads
            everything once. In a folder the sources are its subfolders. "text" is all real text, "data_dir" all of
            the folder, "synthetic", "tasks" and "augmented" are what was made.
    """

    data_dir: Path | None = None
    toolchain_docs: bool = False
    seq_len: int = 512
    vocab_size: int = 4096
    validation_fraction: float = 0.02
    max_validation_blocks: int = 256
    verified_sample: int = 256
    synthetic_samples: int = 0
    variants: float = 0.0
    tasks: int = 0
    task_tier: int | None = None
    mix: Mapping[str, float] | None = None

    def __post_init__(self):
        check_types("data", self)
        check("data", "seq_len", self.seq_len, "at least 2", self.seq_len >= 2)
        most = self.max_validation_blocks
        check("data", "max_validation_blocks", most, "at least 1", most >= 1)
        check("data", "verified_sample", self.verified_sample, "at least 0", self.verified_sample >= 0)
        samples = self.synthetic_samples
        check("data", "synthetic_samples", samples, "at least 0", samples >= 0)
        check("data", "tasks", self.tasks, "at least 0", self.tasks >= 0)
        tier = self.task_tier
        check("data", "task_tier", tier, "from 0 to 4, or None", tier is None or 0 <= tier <= 4)
        check("data", "variants", self.variants, "from 0 to 1", 0 <= self.variants <= 1)
        rule = f"at least {SMALLEST_VOCABULARY}"
        check("data", "vocab_size", self.vocab_size, rule, self.vocab_size >= SMALLEST_VOCABULARY)
        fraction = self.validation_fraction
        check("data", "validation_fraction", fraction, "above 0 and below 0.5", 0 < fraction < 0.5)
        check_shares("data.mix", self.mix)

    @property
    def makes_programs(self) -> bool:
        """Whether programs are made, or varied, and verified."""
        return bool(self.synthetic_samples or self.variants or self.tasks)


@dataclass(frozen=True)
class TrainingRecipe:
    """
    How it is trained: the first stage, with a warmup, a constant phase and a linear decay, and what all stages share.

    Attributes:
        total_steps: Optimizer steps.
        warmup_steps: Steps of linear warmup from `min_lr`.
        decay_steps: Steps of linear decay at the end; what is between is constant.
        batch_size: Blocks per optimizer step, over all processes.
        micro_batch_size: At most so many blocks per forward pass; the rest is accumulated.
        peak_lr: AdamW's learning rate in the constant phase; under muon_lion what `min_lr` and the stages are measured
            by.
        min_lr: Learning rate at the end, in the scale of `peak_lr`.
        optimizer: "adamw", or "muon_lion": Muon on the hidden matrices, Lion on the rest.
        muon_lr: Muon's peak learning rate.
        lion_lr: Lion's.
        lion_impl: Lion by "bitsandbytes", "bitsandbytes_8bit" or "torch".
        adam_beta2: AdamW's decay of the second moment.
        weight_decay: On the matrices.
        grad_clip: Largest gradient norm.
        logging_steps: Steps between two log lines.
        save_steps: Steps between two checkpoints to resume from.
        eval_steps: Steps between two measurements of the held-out loss, each after the checkpoint of its step; 0 for
            none before the end.
        eval_seconds: In each of these evaluations also complete prompts, for so long: of the compile rate, and of
            HumanEval-Rust where programs may run; 0 for none.
        eval_prompts: Prompts of the compile rate that the finished model completes for the report; 0 for none.
        report_to: Also log to "tensorboard" or "trackio"; `metrics.jsonl` is always written.
        checkpointing: What is kept for backward: "none" keeps all, "layer" the input of every block, "loop" the state
            at the start of every loop; what is not kept is computed again.
        compile_blocks: Compile the shared block.
        gate_steps: Steps of the gate's own stage after all others, with everything else frozen; 0 for none.
        gate_lr: Its learning rate.
        seed: Of the weights and the order of the data.
    """

    total_steps: int
    warmup_steps: int
    decay_steps: int
    batch_size: int
    micro_batch_size: int
    peak_lr: float
    min_lr: float = 0.0
    optimizer: Literal["muon_lion", "adamw"] = "adamw"
    muon_lr: float = 0.02
    lion_lr: float = 1e-4
    lion_impl: Literal["bitsandbytes", "bitsandbytes_8bit", "torch"] = "bitsandbytes"
    adam_beta2: float = 0.95
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    logging_steps: int = 10
    save_steps: int = 100
    eval_steps: int = 0
    eval_seconds: float = 0.0
    eval_prompts: int = 0
    report_to: Literal["none", "tensorboard", "trackio"] = "none"
    checkpointing: Literal["none", "layer", "loop"] = "none"
    compile_blocks: bool = False
    gate_steps: int = 0
    gate_lr: float = 1e-3
    seed: int = 0

    def __post_init__(self):
        check_types("training", self)
        for name in ("total_steps", "batch_size", "micro_batch_size", "logging_steps", "save_steps"):
            check("training", name, getattr(self, name), "at least 1", getattr(self, name) >= 1)
        check("training", "total_steps", self.total_steps, "at most 10**9", self.total_steps <= 10**9)
        check("training", "seed", self.seed, "below 2**32", self.seed < 2**32)
        rule = f"a multiple of logging_steps={self.logging_steps}, so that a resumed run logs the same means"
        check("training", "save_steps", self.save_steps, rule, self.save_steps % self.logging_steps == 0)
        for name in (
            "warmup_steps",
            "decay_steps",
            "min_lr",
            "weight_decay",
            "seed",
            "gate_steps",
            "eval_steps",
            "eval_prompts",
            "eval_seconds",
        ):
            check("training", name, getattr(self, name), "at least 0", getattr(self, name) >= 0)
        rule = f"a multiple of save_steps={self.save_steps}: every evaluation has its checkpoint"
        check("training", "eval_steps", self.eval_steps, rule, self.eval_steps % self.save_steps == 0)
        check("training", "grad_clip", self.grad_clip, "above 0", self.grad_clip > 0)
        for name in ("muon_lr", "lion_lr", "gate_lr"):
            value = getattr(self, name)
            check("training", name, value, "above 0 and finite", 0 < value < float("inf"))
        check("training", "adam_beta2", self.adam_beta2, "from 0 to below 1", 0 <= self.adam_beta2 < 1)
        check("training", "peak_lr", self.peak_lr, "above min_lr", self.peak_lr > self.min_lr)
        rule = f"at most total_steps={self.total_steps} together with decay_steps={self.decay_steps}"
        fits = self.warmup_steps + self.decay_steps <= self.total_steps
        check("training", "warmup_steps", self.warmup_steps, rule, fits)

    @property
    def stable_steps(self) -> int:
        """Steps at the peak learning rate."""
        return self.total_steps - self.warmup_steps - self.decay_steps

    def stage(self, seq_len: int) -> Stage:
        """The first stage."""
        names = "total_steps", "batch_size", "peak_lr", "min_lr", "warmup_steps", "decay_steps"
        return Stage("pretrain", seq_len=seq_len, **{name: getattr(self, name) for name in names})

    def with_total_steps(self, total_steps: int) -> "TrainingRecipe":
        """The same schedule stretched to another length."""
        logging_steps = max(1, min(self.logging_steps, total_steps // 4))
        save_steps = logging_steps * (self.save_steps // self.logging_steps)
        return replace(
            self,
            total_steps=total_steps,
            warmup_steps=self.warmup_steps * total_steps // self.total_steps,
            decay_steps=self.decay_steps * total_steps // self.total_steps,
            logging_steps=logging_steps,
            save_steps=save_steps,
            eval_steps=save_steps * (self.eval_steps // self.save_steps),
        )

    def micro_batch_for(self, stage: Stage, seq_len: int, num_processes: int) -> int:
        """
        The largest micro-batch that divides a stage's batch among the processes and has no more tokens than the
        recipe's micro-batch of `seq_len`; at least one block. May raise.
        """
        rule = f"a multiple of the number of processes, {num_processes}"
        section = "training" if stage.name == "pretrain" else f"stages.{stage.name}"
        check(section, "batch_size", stage.batch_size, rule, stage.batch_size % num_processes == 0)
        per_process = stage.batch_size // num_processes
        largest = max(1, min(self.micro_batch_size * seq_len // stage.seq_len, per_process))
        return next(size for size in range(largest, 0, -1) if per_process % size == 0)


@dataclass(frozen=True)
class ExportRecipe:
    """
    What is made of the last stage's model, in the run's folder under `export`.

    Attributes:
        gguf: Type of the ternary matrices in a file for llama.cpp, such as "q4_0" or "tq2_0"; None for no file.
    """

    gguf: str | None = None

    def __post_init__(self):
        check_types("export", self)
        rule = f"one of {', '.join(FORMATS)}, or None"
        check("export", "gguf", self.gguf, rule, self.gguf is None or self.gguf in FORMATS)


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
        export: What is made of it for others.
        later_stages: Further stages, each from the one before.
        output_dir: Where the run is kept.
        prompt: What the finished model is asked to continue.
    """

    name: str
    description: str
    model: LoopLMConfig
    data: DataRecipe
    training: TrainingRecipe
    export: ExportRecipe = ExportRecipe()
    later_stages: tuple[Stage | MaxRLStage, ...] = ()
    output_dir: Path = field(default=Path("runs"))
    prompt: str = "fn "

    def __post_init__(self):
        longest = self.model.max_position_embeddings
        rule = f"at most model.max_position_embeddings={longest}"
        check("data", "seq_len", self.data.seq_len, rule, self.data.seq_len <= longest)
        vocab_size = self.model.vocab_size
        rule = f"at least data.vocab_size={self.data.vocab_size}"
        check("model", "vocab_size", vocab_size, rule, vocab_size >= self.data.vocab_size)
        weights = self.model.weight_format
        check("model", "weight_format", weights, "latent: packed weights cannot be trained", weights == "latent")
        for stage in self.text_stages:
            exit_at = self.model.exit_at_loop
            rule = f"at most stages.{stage.name}.num_loops={stage.num_loops}"
            fits = exit_at is None or stage.num_loops is None or exit_at <= stage.num_loops
            check("model", "exit_at_loop", exit_at, rule, fits)
        names = [stage.name for stage in self.stages]
        check("recipe", "stages", names, "of different names", len(set(names)) == len(names))
        for stage in self.later_stages:
            if isinstance(stage, MaxRLStage):
                rule = f"at least {2 * stage.prompts_per_step}, for stages.{stage.name} has prompts_per_step of them"
                check("data", "tasks", self.data.tasks, rule, self.data.tasks >= 2 * stage.prompts_per_step)
                rule = f"below model.max_position_embeddings={longest}, which prompts need too"
                length = stage.max_completion_length
                check(f"stages.{stage.name}", "max_completion_length", length, rule, length < longest)
                rule = f"{{}} for stages.{stage.name}, which draws completions as it trains them; set it afterwards"
                threshold, kept = self.model.exit_threshold, self.model.kv_reuse
                check("model", "exit_threshold", threshold, rule.format("at least 1"), threshold >= 1)
                check("model", "kv_reuse", kept, rule.format("none"), kept == "none")

    @property
    def text_stages(self) -> tuple[Stage, ...]:
        """The stages that read text."""
        return tuple(stage for stage in self.stages if isinstance(stage, Stage))

    @property
    def stages(self) -> tuple[Stage | MaxRLStage, ...]:
        """All stages in their order; the gate's own is the last."""
        first = self.training.stage(self.data.seq_len)
        last = [stage for stage in (first, *self.later_stages) if isinstance(stage, Stage)][-1]
        gate = ()
        if self.training.gate_steps:
            changes = {"total_steps": self.training.gate_steps, "peak_lr": self.training.gate_lr, "min_lr": 0.0}
            depth = {"num_loops": None, "exit_entropy_weight": None, "rope_theta": None}
            schedule = {"schedule": "constant", "warmup_steps": 0, "decay_steps": 0}
            gate = (replace(last, name=GATE_STAGE, **changes, **depth, **schedule),)
        return (first, *self.later_stages, *gate)

    def mix(self, stage: Stage) -> Mapping[str, float] | None:
        """What a stage reads: its own mix or the recipe's."""
        return self.data.mix if stage.mix is None else stage.mix

    def stage_dir(self, stage: Stage | MaxRLStage) -> Path:
        """Where a stage keeps its checkpoints, logs and model."""
        return self.run_dir / stage.name

    def check_stage_before(self, name: str) -> None:
        """Raises `ValueError` unless the stage before the named one is finished."""
        names = [stage.name for stage in self.stages]
        before = self.stages[max(0, names.index(name) - 1)]
        if before.name != name and not (self.stage_dir(before) / "finished.json").exists():
            raise ValueError(
                f"--stage {name} needs the stage before it, {before.name}, to be finished in {self.run_dir}"
            )

    def up_to(self, name: str) -> "Recipe":
        """The recipe that ends with the named stage."""
        names = [stage.name for stage in self.stages]
        later = tuple(stage for stage in self.later_stages if names.index(stage.name) <= names.index(name))
        gate_steps = self.training.gate_steps if name == GATE_STAGE else 0
        return replace(self, later_stages=later, training=replace(self.training, gate_steps=gate_steps))

    def toy(self) -> "Recipe":
        """
        The same pipeline at a size that takes seconds: two steps of every stage, a tiny model, short blocks of the
        built-in texts; nothing is compiled, which would take minutes.
        """
        model = self.model.to_dict() | {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_shared_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 512,
            "vocab_size": 512,
            "ternary_group_size": 64,
        }
        steps = {"total_steps": 2, "warmup_steps": 1, "decay_steps": 0, "batch_size": 2}
        lengths = sorted({stage.seq_len for stage in self.text_stages})
        practice = {
            "total_steps": 2,
            "warmup_steps": 1,
            "prompts_per_step": 2,
            "num_generations": 2,
            "sample_steps": 1,
        }
        practice |= {"max_completion_length": 16, "held_out_tasks": 1, "samples": 1}
        later = [
            replace(stage, seq_len=32 * (1 + lengths.index(stage.seq_len)), mix=None, **steps)
            if isinstance(stage, Stage)
            else replace(stage, **practice)
            for stage in self.later_stages
        ]
        return replace(
            self,
            name=f"{self.name}-dry-run",
            model=LoopLMConfig.from_dict(model),
            data=replace(
                self.data,
                data_dir=self.data.data_dir or BUILTIN_RUST,
                seq_len=32 * (1 + lengths.index(self.data.seq_len)),
                vocab_size=512,
                verified_sample=4,
                synthetic_samples=min(8, self.data.synthetic_samples),
                tasks=min(96, self.data.tasks),
                mix=None,
            ),
            training=replace(
                self.training,
                micro_batch_size=1,
                logging_steps=1,
                save_steps=1,
                eval_prompts=2,
                compile_blocks=False,
                **steps,
            ),
            # Of a type that the narrow model fits.
            export=replace(self.export, gguf=self.export.gguf and "q4_0"),
            later_stages=tuple(later),
        )

    @property
    def run_dir(self) -> Path:
        """`output_dir/name`."""
        return self.output_dir / self.name
