"""Stages that train on text with the Trainer: what they have in common."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from recipes.pipeline.fields import check, setting, settings
from recipes.pipeline.stages.stage import FINISHED, OWN_TEXT, Mix, OptimizerName, Stage, StageResult, uses_fsdp
from trainers.data.mix import MAX_REPEATS, check_shares

if TYPE_CHECKING:
    from modeling_nanochat import LoopLMConfig
    from recipes.pipeline.plan.teacher import TeacherSize
    from recipes.pipeline.prepare import Prepared
    from recipes.pipeline.schema import Recipe, TrainingSettings
    from trainers.pretraining import LoopLMTrainer


@settings
class TextStage(Stage):
    """A stage that trains on packed blocks of text."""

    name: str = setting("Name of the stage and of its folder.", default="", min_length=1)
    total_steps: int = setting("Optimizer steps; 0 leaves the stage out.", ge=0, le=10**9)
    batch_size: int = setting("Blocks per optimizer step, over all processes.", ge=1)
    seq_len: int = setting("Tokens per block.", ge=2)
    peak_lr: float = setting(
        "Learning rate at its peak. With muon_lion, Muon and Lion have peaks of their own, scaled by this value over "
        "that of the first stage.",
        gt=0,
    )
    mix: Mapping[str, float] | None = setting(
        "Shares of the text by source, such as {'tasks': 3, 'text': 1}, where 'text' is all real text; None uses "
        "data.mix.",
        default=None,
    )

    def __post_init__(self) -> None:
        check_shares(f"{self.name}.mix", self.mix)

    recomputes: ClassVar[bool] = True
    """Whether the stage needs activations of the whole model, which `training.checkpointing` is about."""

    @property
    def is_active(self) -> bool:
        return self.total_steps > 0

    @property
    def longest_block(self) -> int:
        return self.seq_len

    @property
    def reference_lr(self) -> float:
        return self.peak_lr

    @property
    def tokens_per_step(self) -> int:
        """Tokens per optimizer step."""
        return self.batch_size * self.seq_len

    @property
    def text_share(self) -> float:
        """Share of the blocks that are text."""
        return 1.0

    def trainer_class(self) -> "type[LoopLMTrainer]":
        """Trainer of the stage."""
        from trainers.pretraining import LoopLMTrainer

        return LoopLMTrainer

    def schedule_arguments(self) -> dict[str, Any]:
        """Arguments of the Trainer for the learning-rate schedule."""
        return {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 0}

    def optimizer_of(self, training: "TrainingSettings") -> OptimizerName:
        """Name of the stage's optimizer."""
        return training.optimizer

    def training_arguments(self, training: "TrainingSettings") -> dict[str, Any]:
        """Arguments of the Trainer that depend on the kind of stage."""
        return {"optimizer": self.optimizer_of(training)}

    def trainer_settings(self, recipe: "Recipe", prepared: "Prepared", micro_batch_size: int) -> dict[str, Any]:
        """
        Further arguments of the trainer's class: the data and what the loss needs.

        Args:
            recipe: Of the run.
            prepared: Its data.
            micro_batch_size: Blocks in a forward pass.
        """
        from trainers.data.collator import collate_blocks
        from trainers.data.pack import regroup_blocks

        blocks = regroup_blocks(prepared.training[self.name], self.seq_len)
        return {"train_dataset": blocks, "data_collator": collate_blocks}

    def objective(self) -> str | None:
        """A sentence about an objective that is not the model's own."""
        return None

    def teacher_size(self, recipe: "Recipe") -> "TeacherSize | None":
        """Size of a model that is in memory beside the trained one, for the plan. Raises `ValueError`."""
        return None

    def model_config(self, config: "LoopLMConfig") -> "LoopLMConfig":
        """Configuration of the model in this stage, from that of the stage before; the weights fit both."""
        return config

    def planned_config(self, config: "LoopLMConfig") -> "LoopLMConfig":
        """That configuration, for the plan: its own objective needs the predictions that the stage's loss needs."""
        return self.model_config(config)

    def micro_batch_size(self, recipe: "Recipe", num_processes: int) -> int:
        """
        The largest micro-batch that divides the batch among the processes and has no more tokens than the recipe's
        micro-batch of `data.seq_len`; at least one block.

        Raises:
            ValueError: The processes cannot share the batch evenly.
        """
        shared = max(1, self.batch_size // num_processes) * num_processes
        rule = f"a multiple of the number of processes, {num_processes} (--set {self.name}.batch_size={shared})"
        check(self.name, "batch_size", self.batch_size, rule, self.batch_size % num_processes == 0)
        per_process = self.batch_size // num_processes
        tokens = recipe.training.micro_batch_size * recipe.data.seq_len
        largest = max(1, min(tokens // self.seq_len, per_process))
        return next(size for size in range(largest, 0, -1) if per_process % size == 0)

    def mix_of(self, recipe: "Recipe") -> Mix:
        """Its own mix, or the recipe's."""
        return recipe.data.mix if self.mix is None else self.mix

    def mixes(self, recipe: "Recipe") -> Iterator[Mix]:
        yield self.mix_of(recipe)

    def check_machine(self, recipe: "Recipe", num_processes: int) -> None:
        lion = recipe.training.lion_impl
        if uses_fsdp() and self.optimizer_of(recipe.training) == "muon_lion" and lion == "bitsandbytes_8bit":
            raise ValueError(
                "training.lion_impl must be bitsandbytes or torch with FSDP, whose sharded parameters Lion updates in "
                f"plain PyTorch with a 32-bit state, got {lion!r}"
            )
        multiplier, update = recipe.training.loop_scale_lr_multiplier, recipe.model.loop_update
        rule = f"1 with model.loop_update={update!r}, which has no loop scale"
        check("training", "loop_scale_lr_multiplier", multiplier, rule, multiplier == 1 or update == "scaled")
        if recipe.data.data_dir is None and OWN_TEXT in (self.mix_of(recipe) or {}):
            raise ValueError(f"stage {self.name} trains on a project of yours: name its folder with --data-dir")
        self.micro_batch_size(recipe, num_processes)

    def check_prepared(self, recipe: "Recipe", prepared: "Prepared", folder: Path) -> None:
        tokens = len(prepared.training[self.name]) * recipe.data.seq_len
        rule = f"at most {tokens}, the number of tokens to train on"
        check(self.name, "seq_len", self.seq_len, rule, self.seq_len <= tokens)

    def reads(self, recipe: "Recipe", prepared: "Prepared") -> Iterator[str]:
        if self.text_share == 0:
            yield f"Stage {self.name} reads no text"
            return
        parts = (f"{name} {epochs:,.2f}" for name, epochs in self.epochs(recipe, prepared).items())
        yield f"Stage {self.name} reads, in epochs: {', '.join(parts)}"

    def warnings(self, recipe: "Recipe", prepared: "Prepared") -> Iterator[str]:
        for name, epochs in self.epochs(recipe, prepared).items():
            # A mix may hold a source exactly so many times.
            if epochs > MAX_REPEATS * (1 + 1e-9):
                yield (
                    f"Stage {self.name} reads {name} {epochs:,.0f} times: more text or fewer steps keep the model "
                    "from memorizing it; watch the held-out loss"
                )

    def epochs(self, recipe: "Recipe", prepared: "Prepared") -> dict[str, float]:
        """Return how many times the stage reads each part of its mix."""
        tokens = len(prepared.training[self.name]) * recipe.data.seq_len
        passes = self.total_steps * self.tokens_per_step * self.text_share / tokens
        return {name: epochs * passes for name, epochs in prepared.epochs.get(self.name, {"all": 1.0}).items()}

    def summary(self) -> str:
        total = self.total_steps * self.tokens_per_step
        return f"{self.total_steps:,} steps of {self.tokens_per_step:,} tokens, {total / 1e6:,.1f} million in all"

    def toy(self, recipe: "Recipe", num_processes: int, **changes: Any) -> Self:
        # Several rows per pass and several passes per step where the stage has them.
        rows = self.micro_batch_size(recipe, num_processes)
        batch_size = num_processes * min(2, rows) * min(2, self.batch_size // (rows * num_processes))
        seq_len = recipe.toy_length(self.seq_len)
        mix = recipe.toy_mix(self.mix)
        return replace(self, total_steps=2, batch_size=batch_size, seq_len=seq_len, mix=mix, **changes)

    def run(self, recipe: "Recipe", prepared: "Prepared", previous: Path | None) -> None:
        from recipes.pipeline.pretrain import pretrain

        pretrain(recipe, self, prepared, previous)

    def result(self, recipe: "Recipe") -> StageResult | None:
        path = recipe.stage_dir(self) / FINISHED
        return StageResult.read(path) if path.exists() else None
