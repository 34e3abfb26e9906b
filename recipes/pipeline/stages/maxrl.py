"""Reinforcement learning on tasks, with the compiler as judge."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from evaluation.rust.sandbox.runner import is_execution_allowed
from evaluation.rust.service.address import checked_address
from recipes.pipeline.fields import check, setting, settings
from recipes.pipeline.stages.reinforced import Reinforced
from recipes.pipeline.stages.stage import FINISHED, Stage, uses_fsdp
from trainers.reinforcement.choices import Estimator, LoopCredit

if TYPE_CHECKING:
    from recipes.pipeline.prepare import Prepared
    from recipes.pipeline.schema import Recipe


@settings
class MaxRL(Stage):
    """Reinforcement learning on tasks (`data.tasks`, `data.task_file`), with the compiler as judge."""

    section: ClassVar[str] = "maxrl"

    name: str = setting("Name of the stage and of its folder.", default="maxrl", min_length=1)
    total_steps: int = setting("Optimizer steps; 0 leaves the stage out.", ge=0, le=10**9)
    prompts_per_step: int = setting("Different prompts per step, over all processes.", default=8, ge=1)
    num_generations: int = setting(
        "Completions per prompt; MaxRL follows the likelihood of success up to this order less one.", default=8, ge=2
    )
    micro_batch_size: int = setting(
        "Maximum number of completions per forward pass; gradients are accumulated.", default=32, ge=1
    )
    max_completion_length: int = setting(
        "Maximum number of tokens of a completion; one that has not ended by then fails.", default=256, ge=1
    )
    learning_rate: float = setting("AdamW's learning rate between warmup and decay.", default=1e-5, gt=0)
    warmup_steps: int = setting("Steps of linear warmup from 0.", default=0, ge=0)
    decay_steps: int = setting("Steps of linear decay to 0 at the end.", default=0, ge=0)
    estimator: Estimator = setting("Estimator of the advantages.", default="maxrl")
    loop_credit: LoopCredit = setting("Loops whose predictions are trained.", default="final")
    rollout_engine: Literal["torch", "native"] = setting(
        "Program that samples the completions; native runs on the CPU many times faster than torch does.",
        default="torch",
    )
    repair_turns: int = setting(
        "Maximum number of further tries after one that fails, each told what is wrong; all of them share "
        "max_completion_length.",
        default=0,
        ge=0,
    )
    loss_type: Literal["dapo", "dr_grpo"] = setting(
        '"dapo" as in the runs of the MaxRL paper; "dr_grpo" has exactly the expectation of the estimator.',
        default="dapo",
    )
    mode: Literal["tests", "compile"] = setting(
        '"tests" rewards programs that pass the hidden tests, or that compile for prompts of data.compile_tasks and '
        'data.compile_functions; "compile" rewards those that compile with the right signature.',
        default="tests",
    )
    compile_share: float | None = setting(
        "Share of the prompts, over all steps, that come from data.compile_tasks and data.compile_functions; None "
        "leaves it to the curriculum, which prefers the kind that is solved sometimes.",
        default=None,
        ge=0,
        le=1,
    )
    reward_threshold: float = setting(
        "Share of a task's hidden tests that must pass for a reward.", default=1.0, gt=0, le=1
    )
    judge_url: str | None = setting(
        "Address of a judge (serve-judge) that compiles and runs the completions, whose token is in the environment "
        "variable NANOCHAT_JUDGE_TOKEN; None for this machine.",
        default=None,
    )
    on_judge_failure: Literal["stop", "local"] = setting(
        'When that judge gives no answer, "stop" ends the run, and "local" lets this machine judge.',
        default="stop",
    )
    held_out_tasks: int = setting("Number of held-out tasks measured before and after.", default=64, ge=1)
    samples: int = setting("Completions of each held-out task.", default=8, ge=1)
    sample_steps: int = setting("Steps between two pages of completions and verdicts; 0 for none.", default=50, ge=0)

    eval_steps: int = setting(
        "Steps between two evaluations in the middle of the stage, for training.eval_seconds each, after the next "
        "checkpoint; 0 for none.",
        default=0,
        ge=0,
    )

    @property
    def is_active(self) -> bool:
        return self.total_steps > 0

    @property
    def runs_compiler(self) -> bool:
        return True

    @property
    def completions_per_step(self) -> int:
        """Completions per optimizer step, over all processes."""
        return self.prompts_per_step * self.num_generations

    def schedule_arguments(self) -> dict[str, Any]:
        """Arguments of the Trainer for the learning-rate schedule."""
        shape = {"num_decay_steps": self.decay_steps, "decay_type": "linear"}
        return {
            "lr_scheduler_type": "warmup_stable_decay",
            "lr_scheduler_kwargs": shape,
            "warmup_steps": self.warmup_steps,
        }

    def needs_consent(self) -> bool:
        return not is_execution_allowed()

    def micro_batch_for(self, num_processes: int) -> int:
        """
        The largest micro-batch that divides the completions of a process.

        Raises:
            ValueError: The processes cannot share the completions evenly.
        """
        rule = f"such that {num_processes} processes share its completions evenly"
        fits = self.completions_per_step % num_processes == 0
        check(self.name, "prompts_per_step", self.prompts_per_step, rule, fits)
        share = self.completions_per_step // num_processes
        return next(size for size in range(min(self.micro_batch_size, share), 0, -1) if share % size == 0)

    def room(self, recipe: "Recipe") -> int:
        """Tokens that are left for a prompt; earlier stages may have lengthened the model's positions."""
        blocks = (stage.longest_block for stage in recipe.before(self))
        return max(recipe.model.max_position_embeddings, *blocks) - self.max_completion_length

    def validate(self, recipe: "Recipe") -> None:
        rule = f"at least {2 * self.prompts_per_step}, for {self.name}.prompts_per_step={self.prompts_per_step}"
        enough = recipe.data.task_file is not None or recipe.data.tasks >= 2 * self.prompts_per_step
        check("data", "tasks", recipe.data.tasks, rule, enough)
        both = self.mode == "tests" and bool(recipe.data.compile_tasks or recipe.data.compile_functions)
        rule = f"None without data.compile_tasks and data.compile_functions, or with {self.name}.mode=compile"
        check(self.name, "compile_share", self.compile_share, rule, both or self.compile_share is None)
        rule = f"at most total_steps={self.total_steps} together with warmup_steps={self.warmup_steps}"
        fits = self.warmup_steps + self.decay_steps <= self.total_steps or not self.decay_steps
        check(self.name, "decay_steps", self.decay_steps, rule, fits)
        if self.judge_url is not None:
            checked_address(self.judge_url)
        longest = recipe.model.max_position_embeddings
        rule = f"below model.max_position_embeddings={longest}, which prompts need too"
        length = self.max_completion_length
        check(self.name, "max_completion_length", length, rule, length < longest)
        rule = f"{{}} for stage {self.name}, which samples completions as it trains on them; set it afterwards"
        threshold, reuse = recipe.model.exit_threshold, recipe.model.kv_reuse
        check("model", "exit_threshold", threshold, rule.format("at least 1"), threshold >= 1)
        check("model", "kv_reuse", reuse, rule.format("none"), reuse == "none")

    def check_machine(self, recipe: "Recipe", num_processes: int) -> None:
        if uses_fsdp():
            raise ValueError(
                "reinforcement learning needs the whole model in every process, and FSDP shards it. Use "
                "recipes/launch/ddp_2.yaml; or pretrain with FSDP (--stage pretrain), and launch --stage "
                f"{self.name} without"
            )
        self.micro_batch_for(num_processes)

    def check_prepared(self, recipe: "Recipe", prepared: "Prepared", folder: Path) -> None:
        from recipes.pipeline.reinforce import check_prompts

        check_prompts(recipe, self, prepared.tokenizer, folder)

    def summary(self) -> str:
        return (
            f"{self.total_steps:,} steps of {self.completions_per_step:,} completions, "
            f"{self.num_generations} for each of {self.prompts_per_step} prompts"
        )

    def toy(self, recipe: "Recipe", num_processes: int) -> Self:
        return replace(
            self,
            total_steps=2,
            warmup_steps=1,
            decay_steps=min(1, self.decay_steps),
            prompts_per_step=2,
            num_generations=2 * num_processes,
            micro_batch_size=2 if self.micro_batch_size < self.completions_per_step else 4,
            sample_steps=1,
            max_completion_length=16,
            held_out_tasks=1,
            samples=1,
            eval_steps=2 if self.eval_steps else 0,
        )

    def run(self, recipe: "Recipe", prepared: "Prepared", previous: Path | None) -> None:
        from recipes.pipeline.reinforce import reinforce

        assert previous is not None, "a recipe checks that its first stage builds the model"
        reinforce(recipe, self, prepared, previous)

    def result(self, recipe: "Recipe") -> Reinforced | None:
        path = recipe.stage_dir(self) / FINISHED
        return Reinforced.read(path) if path.exists() else None
