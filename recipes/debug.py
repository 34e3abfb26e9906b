"""
A small ternary LoopLM on the Rust that comes with the compiler, in a few minutes on two processor cores:

    accelerate launch recipes/debug.py
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
from recipes.pipeline.stages.pretrain import Sft


def debug() -> Recipe:
    """A ternary LoopLM of two blocks and four loops, trained for a few minutes on real Rust."""
    recipe = small()
    tasks = Sft(
        name="tasks",
        total_steps=390,
        batch_size=4,
        seq_len=128,
        peak_lr=1.2e-3,
        min_lr=1.2e-4,
        decay_steps=320,
        mix={"tasks": 2, "text": 1},
    )
    maxrl = MaxRL(
        total_steps=10,
        prompts_per_step=8,
        num_generations=16,
        max_completion_length=64,
        rollout_engine="native",
        learning_rate=1e-4,
        mode="compile",
        held_out_tasks=16,
        sample_steps=5,
    )
    gate, evaluate, export = (recipe.stage(name) for name in ("gate", "evaluate", "export"))
    stages = (recipe.stage("pretrain"), tasks, maxrl, gate, evaluate, export)
    return recipe.changed(
        name="debug",
        data={"tasks": 240, "max_task_tier": 0},
        training={"optimizer": "muon_lion", "muon_lr": 0.01, "lion_lr": 2e-3, "eval_steps": 240},
        pretrain={"total_steps": 90, "decay_steps": 25},
        stages=stages,
    )


if __name__ == "__main__":
    main(debug)
