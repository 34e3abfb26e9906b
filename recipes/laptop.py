"""
A ternary LoopLM that learns to solve small tasks, from nothing, on two processor cores:

    accelerate launch recipes/laptop.py
"""

try:
    from recipes.pipeline.program import main
except ModuleNotFoundError as error:
    if error.name != "recipes":
        raise
    raise SystemExit("nanochat-ternary is not installed: run `make install`, or `pip install -e .`") from None

from recipes.base import small
from recipes.pipeline.schema import Recipe
from recipes.pipeline.stages.maxrl import MaxRL


def laptop() -> Recipe:
    """A ternary LoopLM of four blocks and two loops, for two processor cores: text, solutions of tasks, then MaxRL."""
    recipe = small()
    maxrl = MaxRL(
        total_steps=60,
        prompts_per_step=24,
        num_generations=16,
        max_completion_length=96,
        learning_rate=5e-5,
        warmup_steps=4,
        decay_steps=30,
        rollout_engine="native",
        held_out_tasks=160,
        sample_steps=20,
    )
    pretrain, sft, *closing = (recipe.stage(name) for name in ("pretrain", "sft", "gate", "evaluate", "export"))
    return recipe.changed(
        name="laptop",
        description="a ternary LoopLM of four blocks and two loops, from text to solved tasks on two processor cores",
        model={"intermediate_size": 768, "num_shared_layers": 4, "num_loops": 2, "exit_entropy_weight": 0.5},
        data={
            "seq_len": 256,
            "tasks": 6000,
            "max_task_tier": 1,
            "rename_repetitions": True,
            "vary_comments": True,
        },
        training={
            "optimizer": "muon_lion",
            "muon_lr": 0.01,
            "lion_lr": 2e-3,
            "micro_batch_size": 16,
            "save_steps": 200,
            "eval_steps": 0,
            "eval_prompts": 104,
        },
        stages=(pretrain, sft, maxrl, *closing),
        pretrain={
            "total_steps": 4000,
            "batch_size": 4,
            "seq_len": 256,
            "peak_lr": 2e-3,
            "min_lr": 2e-4,
            "warmup_steps": 160,
            "decay_steps": 1000,
        },
        sft={
            "total_steps": 3600,
            "batch_size": 4,
            "seq_len": 256,
            "peak_lr": 1e-3,
            "min_lr": 1e-4,
            "decay_steps": 3000,
            "mix": {"tasks": 4, "text": 1},
        },
        gate={"total_steps": 60, "batch_size": 16, "seq_len": 256},
        evaluate={
            "suites": ("compile-rate", "humaneval-rust", "semantic", "perplexity"),
            "limit": None,
            "max_new_tokens": 128,
            "engine": "native",
        },
    )


if __name__ == "__main__":
    main(laptop)
