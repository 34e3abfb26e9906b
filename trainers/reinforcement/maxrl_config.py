"""Settings of MaxRL, checked before any work."""

from dataclasses import dataclass, field

from trl import GRPOConfig

from evaluation.generation_settings import ENGINES
from trainers.hardware import has_fast_bf16, has_no_accelerator
from trainers.reinforcement.choices import ESTIMATORS, LOOP_CREDITS, REPAIR_CREDITS
from trainers.reinforcement.on_policy import check_settings


@dataclass
class MaxRLConfig(GRPOConfig):
    """
    [`trl.GRPOConfig`] for MaxRL.

    Completions are sampled from the policy that is trained: no filter, no penalty, one update per batch, and the same
    `temperature` for sampling and log-probabilities. There is no KL term. `loss_type` is "dapo" as in the paper's
    runs; with "dr_grpo" the expected gradient is exactly the estimator's, up to a constant. By default bf16 is used
    where it is fast, and the CPU (`use_cpu`) where there is no accelerator.
    """

    estimator: str = field(
        default="maxrl",
        metadata={"help": "maxrl, maxrl_unbiased, maxrl_nobaseline, grpo, rloo or sft"},
    )
    loop_credit: str = field(
        default="final",
        metadata={"help": "weights of a LoopLM's loops in log-probabilities: final, uniform, progressive or exit_pdf"},
    )
    loop_credit_power: float = field(
        default=1.0, metadata={"help": "with loop_credit=progressive, the weight of loop t is t**loop_credit_power"}
    )
    quality_weight: float = field(
        default=0.0,
        metadata={"help": "how much more of the advantage better successes get, from 0 to below 1"},
    )
    stop_at_function_end: bool = field(
        default=False,
        metadata={"help": "end a completion with the function that its prompt begins, not with the end-of-text token"},
    )
    rollout_engine: str = field(
        default="torch",
        metadata={
            "help": "program that samples completions: torch, or native, which runs a LoopLM on the CPU many times "
            "faster and needs rustc"
        },
    )
    repair_turns: int = field(
        default=0,
        metadata={
            "help": "maximum number of further tries after a failed one, each told what is wrong; needs RustReward"
        },
    )
    repair_credit: str = field(
        default="trajectory",
        metadata={"help": "tokens that get the advantage of all tries: of the trajectory, or of its last_turn"},
    )
    curriculum: bool = field(
        default=True,
        metadata={"help": "sample prompts less often if they are solved always or never; uses column tier"},
    )
    compile_share: float | None = field(
        default=None,
        metadata={
            "help": 'with RustReward(mode="mixed"), share of the prompts whose completions only have to compile, over '
            "all steps; by default the curriculum's weights decide"
        },
    )
    sample_steps: int = field(
        default=50,
        metadata={"help": "steps between pages of completions with their verdicts; 0 for no pages"},
    )
    disable_dropout: bool = field(default=True, metadata={"help": "must be True: dropout changes the policy"})
    scale_rewards: str = field(default="none", metadata={"help": "must be none: the estimator scales the advantages"})

    def __post_init__(self):
        if self.bf16 is None and not self.fp16:
            self.bf16 = has_fast_bf16()
        self.use_cpu = self.use_cpu or has_no_accelerator()
        super().__post_init__()
        named = (
            ("estimator", ESTIMATORS),
            ("loop_credit", LOOP_CREDITS),
            ("rollout_engine", ENGINES),
            ("repair_credit", REPAIR_CREDITS),
        )
        for name, choices in named:
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if self.scale_rewards != "none" or self.multi_objective_aggregation != "sum_then_normalize":
            raise ValueError("scale_rewards and multi_objective_aggregation must be left out: the estimator scales")
        if not 0 <= self.quality_weight < 1 or (self.quality_weight and self.estimator != "maxrl"):
            raise ValueError(
                "quality_weight must be at least 0 and below 1, and 0 with estimators other than maxrl, got "
                f"{self.quality_weight} with {self.estimator}"
            )
        if not 0 <= self.loop_credit_power < float("inf"):
            raise ValueError(f"loop_credit_power must be at least 0 and finite, got {self.loop_credit_power}")
        if self.compile_share is not None and not (0 <= self.compile_share <= 1 and self.curriculum):
            raise ValueError(
                "compile_share must be from 0 to 1, or None, as it must be with curriculum=False; got "
                f"{self.compile_share} with curriculum={self.curriculum}"
            )
        if self.repair_turns < 0:
            raise ValueError(f"repair_turns must be at least 0, got {self.repair_turns}")
        if self.sample_steps < 0:
            raise ValueError(f"sample_steps must be at least 0, got {self.sample_steps}")
        if self.mask_truncated_completions:
            raise ValueError("mask_truncated_completions must be False: a truncated completion counts as a failure")
        if self.use_vllm:
            raise ValueError(
                "use_vllm must be False: vLLM keeps one set of keys and values per layer, which the loops of a LoopLM "
                "would overwrite, and it does not support ternary layers, so it would sample from another policy"
            )
        if self.use_transformers_continuous_batching:
            raise ValueError(
                "use_transformers_continuous_batching must be False: it cannot stop at the end of a function"
            )
        check_settings(self)
        # The exit gate is frozen, so all trained parameters have a gradient.
        if self.ddp_find_unused_parameters is None:
            self.ddp_find_unused_parameters = False
        kwargs = self.gradient_checkpointing_kwargs or {}
        if kwargs.get("use_reentrant"):
            raise ValueError("gradient_checkpointing_kwargs.use_reentrant must be False: loops share their parameters")
        self.gradient_checkpointing_kwargs = kwargs | {"use_reentrant": False}
