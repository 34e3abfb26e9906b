"""Pretraining on text, from a new model or from the model of the stage before, and fine-tuning on a mix."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self
from zlib import crc32

from recipes.pipeline.fields import check, setting, settings
from recipes.pipeline.stages.text import TextStage

if TYPE_CHECKING:
    from modeling_nanochat import LoopLMConfig
    from recipes.pipeline.prepare import Prepared
    from recipes.pipeline.schema import Recipe, TrainingSettings

SHORTEST_REPEATING_BLOCK = 8
"""Minimum number of tokens of a block of repeated tokens; [`RepeatedTokens`] refuses fewer."""
Schedule = Literal["wsd", "cosine", "constant"]


@settings
class Pretrain(TextStage):
    """Train a new model, or the model of the stage before, on text."""

    section: ClassVar[str] = "pretrain"
    builds_model: ClassVar[bool] = True

    name: str = setting("Name of the stage and of its folder.", default="pretrain", min_length=1)
    min_lr: float = setting("Learning rate at the end.", default=0.0, ge=0)
    warmup_steps: int = setting(
        "Steps of linear warmup: from min_lr in the schedule wsd, from 0 in others.", default=0, ge=0
    )
    decay_steps: int = setting(
        "Steps of linear decay to min_lr at the end of wsd; the rate is constant before.", default=0, ge=0
    )
    schedule: Schedule = setting(
        "wsd (warmup, stable, decay), cosine (from the peak to min_lr), or constant.", default="wsd"
    )
    num_loops: int | None = setting(
        "Number of times that the stack is applied; None keeps the model's.", default=None, ge=1
    )
    exit_entropy_weight: float | None = setting(
        "Weight of the exit distribution's entropy in the loss; None keeps the model's.", default=None, ge=0
    )
    rope_theta: float | None = setting("Base of the rotary embedding; None keeps the model's.", default=None, gt=0)
    ternary_warmup: float = setting(
        "Share of the steps in which the weights become ternary, beginning with the float ones; 0 trains ternary "
        "weights from the first step on.",
        default=0.0,
        ge=0,
        le=1,
    )
    ternary_schedule: Literal["blend", "layers"] = setting(
        "With ternary_warmup: all blocks become ternary together (blend), or one after another from the first to the "
        "last (layers).",
        default="blend",
    )
    dead_zone_residual: float = setting(
        "Share of the float weight that is added to the ternary one in the first step and falls linearly to 0 in the "
        "last one, so that weights rounded to 0 learn, too.",
        default=0.0,
        ge=0,
    )

    repeated_tokens: float = setting(
        "Share of the blocks that are no text but random tokens that repeat, from which a new model learns to copy "
        "from its context; 1 is a stage without text.",
        default=0.0,
        ge=0,
        le=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.name, "peak_lr", self.peak_lr, "above min_lr", self.peak_lr > self.min_lr)
        shortest = f"at least {SHORTEST_REPEATING_BLOCK} with repeated_tokens, so that something can repeat"
        repeats = self.seq_len >= SHORTEST_REPEATING_BLOCK or not self.repeated_tokens
        check(self.name, "seq_len", self.seq_len, shortest, repeats)
        rule = f"at most total_steps={self.total_steps} together with decay_steps={self.decay_steps}"
        fits = self.warmup_steps + self.decay_steps <= self.total_steps or not self.is_active
        check(self.name, "warmup_steps", self.warmup_steps, rule, fits)

    @property
    def text_share(self) -> float:
        return 1 - self.repeated_tokens

    def schedule_arguments(self) -> dict[str, Any]:
        ratio, warmup = self.min_lr / self.peak_lr, {"warmup_steps": self.warmup_steps}
        if self.schedule == "wsd":
            shape = {"num_decay_steps": self.decay_steps, "min_lr_ratio": ratio, "decay_type": "linear"}
            return {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": shape} | warmup
        if self.schedule == "cosine":
            return {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": ratio}} | warmup
        return {"lr_scheduler_type": "constant_with_warmup"} | warmup

    def with_total_steps(self, total_steps: int) -> Self:
        """The same schedule stretched to another length."""
        scaled = {
            name: getattr(self, name) * total_steps // max(1, self.total_steps)
            for name in ("warmup_steps", "decay_steps")
        }
        return replace(self, total_steps=total_steps, **scaled)

    def training_arguments(self, training: "TrainingSettings") -> dict[str, Any]:
        return super().training_arguments(training) | {
            "ternary_warmup": self.ternary_warmup,
            "ternary_schedule": self.ternary_schedule,
            "dead_zone_residual": self.dead_zone_residual,
        }

    def trainer_settings(self, recipe: "Recipe", prepared: "Prepared", micro_batch_size: int) -> dict[str, Any]:
        found = super().trainer_settings(recipe, prepared, micro_batch_size)
        if self.repeated_tokens:
            from trainers.data.repeated_tokens import with_repeated_tokens

            found["train_dataset"] = with_repeated_tokens(
                found["train_dataset"],
                prepared.tokenizer,
                self.repeated_tokens,
                count=self.total_steps * self.batch_size,
                # Of the name, so that stages of equal length read different blocks.
                seed=crc32(f"{recipe.training.seed} {self.name}".encode()),
            )
        return found

    def model_config(self, config: "LoopLMConfig") -> "LoopLMConfig":
        """The stage's depth and entropy weight; longer blocks extend the rotary table."""
        values = config.to_dict()
        if self.num_loops is not None:
            values["num_loops"] = self.num_loops
        if self.exit_entropy_weight is not None:
            values["exit_entropy_weight"] = self.exit_entropy_weight
        if self.rope_theta is not None:
            values["rope_parameters"] = values["rope_parameters"] | {"rope_theta": self.rope_theta}
        values["max_position_embeddings"] = max(config.max_position_embeddings, self.seq_len)
        return type(config).from_dict(values)

    def validate(self, recipe: "Recipe") -> None:
        exit_at = recipe.model.exit_at_loop
        rule = f"at most {self.name}.num_loops={self.num_loops}"
        fits = exit_at is None or self.num_loops is None or exit_at <= self.num_loops
        check("model", "exit_at_loop", exit_at, rule, fits)
        if not recipe.model.ternary:
            for name in ("ternary_warmup", "dead_zone_residual"):
                value = getattr(self, name)
                check(self.name, name, value, "0 with model.ternary=False", value == 0)

    def toy(self, recipe: "Recipe", num_processes: int, **changes: Any) -> Self:
        return super().toy(recipe, num_processes, warmup_steps=1, decay_steps=0, **changes)


@settings
class Sft(Pretrain):
    """Continue training on a mix of its own, such as solutions of tasks, or a project, beside a share of all text."""

    section: ClassVar[str] = "sft"
    builds_model: ClassVar[bool] = False

    name: str = setting("Name of the stage and of its folder.", default="sft", min_length=1)
