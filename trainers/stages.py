"""Stages of a training: each continues from the one before with its own depth, length, rates and schedule."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from modeling_nanochat import LoopLMConfig
from trainers.data.mix import check_shares
from trainers.reinforcement.advantages import Estimator
from trainers.reinforcement.loop_credit import LoopCredit
from trainers.typed_settings import check, check_types

Schedule = Literal["wsd", "cosine", "constant"]


@dataclass(frozen=True)
class Stage:
    """
    One stage of pretraining.

    Attributes:
        name: Names the stage and its folder in the run.
        total_steps: Optimizer steps.
        batch_size: Blocks per optimizer step, over all processes.
        seq_len: Tokens per block.
        peak_lr: Learning rate of the constant phase. Under muon_lion the parts' own peaks are scaled by
            `peak_lr / the recipe's peak_lr`.
        min_lr: Learning rate at the end.
        warmup_steps: Steps of linear warmup: from `min_lr` in "wsd", from 0 otherwise.
        decay_steps: Steps of linear decay to `min_lr` at the end of "wsd"; what is between is constant.
        schedule: "wsd" (warmup, stable, decay), "cosine" (from the peak to `min_lr`), or "constant".
        num_loops: How often the stack is applied; None keeps what the model has.
        exit_entropy_weight: Of the exit distribution's entropy; None keeps the model's.
        rope_theta: Base of the rotary embedding; None keeps the model's.
        mix: Shares of the text by source, such as {"tasks": 3, "text": 1}, where "text" keeps a share of what came
            before; None reads what `data.mix` says.
    """

    name: str
    total_steps: int
    batch_size: int
    seq_len: int
    peak_lr: float
    min_lr: float = 0.0
    warmup_steps: int = 0
    decay_steps: int = 0
    schedule: Schedule = "wsd"
    num_loops: int | None = None
    exit_entropy_weight: float | None = None
    rope_theta: float | None = None
    mix: Mapping[str, float] | None = None

    def __post_init__(self):
        section = f"stages.{self.name}"
        check_types(section, self)
        for name in ("total_steps", "batch_size"):
            check(section, name, getattr(self, name), "at least 1", getattr(self, name) >= 1)
        check(section, "seq_len", self.seq_len, "at least 2", self.seq_len >= 2)
        check(section, "total_steps", self.total_steps, "at most 10**9", self.total_steps <= 10**9)
        for name in ("warmup_steps", "decay_steps", "min_lr"):
            check(section, name, getattr(self, name), "at least 0", getattr(self, name) >= 0)
        finite = self.min_lr < self.peak_lr < float("inf")
        check(section, "peak_lr", self.peak_lr, "above min_lr and finite", finite)
        check_shares(f"{section}.mix", self.mix)
        rule = f"at most total_steps={self.total_steps} together with decay_steps={self.decay_steps}"
        fits = self.warmup_steps + self.decay_steps <= self.total_steps
        check(section, "warmup_steps", self.warmup_steps, rule, fits)

    @property
    def tokens_per_step(self) -> int:
        """Tokens per optimizer step."""
        return self.batch_size * self.seq_len

    def schedule_arguments(self) -> dict[str, Any]:
        """The Trainer's arguments for this schedule; each is one of transformers' own."""
        ratio = self.min_lr / self.peak_lr
        if self.schedule == "wsd":
            settings = {"num_decay_steps": self.decay_steps, "min_lr_ratio": ratio, "decay_type": "linear"}
            return {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": settings} | self._warmup
        if self.schedule == "cosine":
            settings = {"min_lr_rate": ratio}
            return {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": settings} | self._warmup
        return {"lr_scheduler_type": "constant_with_warmup"} | self._warmup

    @property
    def _warmup(self) -> dict[str, int]:
        return {"warmup_steps": self.warmup_steps}

    def with_total_steps(self, total_steps: int) -> "Stage":
        """The same schedule stretched to another length."""
        scaled = {
            name: getattr(self, name) * total_steps // self.total_steps for name in ("warmup_steps", "decay_steps")
        }
        return replace(self, total_steps=total_steps, **scaled)

    def changed(self, config: LoopLMConfig) -> LoopLMConfig:
        """The model's configuration for this stage; its weights fit both. Longer blocks extend the rotary table."""
        settings = config.to_dict()
        if self.num_loops is not None:
            settings["num_loops"] = self.num_loops
        if self.exit_entropy_weight is not None:
            settings["exit_entropy_weight"] = self.exit_entropy_weight
        if self.rope_theta is not None:
            settings["rope_parameters"] = settings["rope_parameters"] | {"rope_theta": self.rope_theta}
        settings["max_position_embeddings"] = max(config.max_position_embeddings, self.seq_len)
        return LoopLMConfig.from_dict(settings)


@dataclass(frozen=True)
class MaxRLStage:
    """
    A stage of reinforcement learning on the recipe's tasks (`data.tasks`), with the compiler as judge.

    Attributes:
        name: Names the stage and its folder in the run.
        total_steps: Optimizer steps.
        prompts_per_step: Different prompts per step, over all processes.
        num_generations: Completions per prompt; MaxRL follows the likelihood of success up to this order less one.
        micro_batch_size: At most so many completions per forward pass; the rest is accumulated.
        max_completion_length: Tokens after which a completion counts as a failure.
        learning_rate: AdamW's, constant after the warmup.
        warmup_steps: Steps of linear warmup from 0.
        estimator: "maxrl", "maxrl_unbiased", "maxrl_nobaseline", "grpo" or "rloo".
        loop_credit: Which loops' predictions are trained: "final", "uniform", "progressive" or "exit_pdf".
        loss_type: "dapo" as in the paper's runs; "dr_grpo" has the estimator's expectation exactly.
        mode: "tests", or "compile", where what compiles with the demanded signature is a success.
        reward_threshold: Share of a task's hidden tests that must hold.
        held_out_tasks: So many tasks with held-out parameters are solved before and after.
        samples: Completions of each of them.
        sample_steps: A page of completions and verdicts is written every so many steps; 0 for none.
    """

    name: str
    total_steps: int
    prompts_per_step: int = 8
    num_generations: int = 8
    micro_batch_size: int = 32
    max_completion_length: int = 256
    learning_rate: float = 1e-5
    warmup_steps: int = 0
    estimator: Estimator = "maxrl"
    loop_credit: LoopCredit = "final"
    loss_type: Literal["dapo", "dr_grpo"] = "dapo"
    mode: Literal["tests", "compile"] = "tests"
    reward_threshold: float = 1.0
    held_out_tasks: int = 64
    samples: int = 8
    sample_steps: int = 50

    def __post_init__(self):
        section = f"stages.{self.name}"
        check_types(section, self)
        for name in (
            "total_steps",
            "prompts_per_step",
            "micro_batch_size",
            "max_completion_length",
            "held_out_tasks",
            "samples",
        ):
            check(section, name, getattr(self, name), "at least 1", getattr(self, name) >= 1)
        for name in ("warmup_steps", "sample_steps"):
            check(section, name, getattr(self, name), "at least 0", getattr(self, name) >= 0)
        check(section, "num_generations", self.num_generations, "at least 2", self.num_generations >= 2)
        finite = 0 < self.learning_rate < float("inf")
        check(section, "learning_rate", self.learning_rate, "above 0 and finite", finite)
        threshold = self.reward_threshold
        check(section, "reward_threshold", threshold, "above 0 and at most 1", 0 < threshold <= 1)

    @property
    def completions_per_step(self) -> int:
        """Over all processes."""
        return self.prompts_per_step * self.num_generations

    def micro_batch_for(self, num_processes: int) -> int:
        """The largest micro-batch that divides the completions of a process. May raise `ValueError`."""
        rule = f"such that {num_processes} processes share its completions evenly"
        fits = self.completions_per_step % num_processes == 0
        check(f"stages.{self.name}", "prompts_per_step", self.prompts_per_step, rule, fits)
        share = self.completions_per_step // num_processes
        return next(size for size in range(min(self.micro_batch_size, share), 0, -1) if share % size == 0)


@dataclass(frozen=True)
class StageShape:
    """A stage of the LoopLM schedule, independent of the machine: a table after Ouro (arXiv 2510.25741)."""

    name: str
    num_loops: int
    seq_len: int
    batch_tokens: int
    peak_lr: float
    exit_entropy_weight: float
    schedule: Schedule = "constant"
    warmup_steps: int = 0
    data: str = ""
    """What it is meant to read; which sources are that, a recipe knows."""

    def stage(
        self, total_steps: int, batch_tokens: int | None = None, mix: Mapping[str, float] | None = None
    ) -> Stage:
        """The stage with so many steps, and with another batch where a machine cannot hold the table's."""
        tokens = self.batch_tokens if batch_tokens is None else batch_tokens
        return Stage(
            name=self.name,
            total_steps=total_steps,
            batch_size=max(1, tokens // self.seq_len),
            seq_len=self.seq_len,
            peak_lr=self.peak_lr,
            warmup_steps=min(self.warmup_steps, total_steps),
            schedule=self.schedule,
            num_loops=self.num_loops,
            exit_entropy_weight=self.exit_entropy_weight,
            mix=mix,
        )


LOOPLM_STAGES = (
    StageShape("stage_1a", 8, 4096, 4_000_000, 3e-4, 0.1, warmup_steps=1000, data="exploration"),
    StageShape("stage_1b", 4, 4096, 8_000_000, 3e-4, 0.05, data="stability"),
    StageShape("stage_2", 4, 16384, 8_000_000, 3e-5, 0.02, data="high quality"),
    StageShape("stage_3", 4, 65536, 8_000_000, 1e-5, 0.01, data="long context"),
    StageShape("stage_4", 4, 32768, 8_000_000, 1e-5, 0.01, schedule="cosine", data="diverse"),
)
