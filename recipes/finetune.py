"""
A model that you have, taught to solve tasks: on solutions that the compiler verified, then with the compiler as judge.

    accelerate launch recipes/finetune.py --init-from runs/nano/pretrain/model
"""

try:
    from recipes.pipeline.program import main
except ModuleNotFoundError as error:
    if error.name != "recipes":
        raise
    raise SystemExit("nanochat-ternary is not installed: run `make install`, or `pip install -e .`") from None

from recipes.nano import nano
from recipes.pipeline.schema import Recipe
from recipes.pipeline.stages.pretrain import Sft


def finetune() -> Recipe:
    """A saved model, fine-tuned on the solutions of verified tasks, then trained with MaxRL on others."""
    recipe = nano()
    sft = Sft(
        total_steps=700,
        batch_size=8,
        seq_len=256,
        peak_lr=1e-3,
        min_lr=1e-4,
        warmup_steps=20,
        decay_steps=500,
        mix={"tasks": 3, "functions": 2, "text": 1},
    )
    stages = (sft, *(recipe.stage(name) for name in ("maxrl", "gate", "evaluate", "export")))
    return recipe.changed(
        name="finetune",
        description="a model that you have, taught to solve tasks that the compiler judges",
        data={
            "seq_len": 256,
            "synthetic_samples": 0,
            "tasks": 6000,
            "functions": 2500,
            "max_task_tier": 1,
            "compile_tasks": 400,
            "compile_functions": 1000,
            "rename_repetitions": True,
            "vary_comments": True,
        },
        training={
            "optimizer": "muon_lion",
            "muon_lr": 5e-3,
            "lion_lr": 5e-4,
            "logging_steps": 10,
            "save_steps": 50,
            "eval_steps": 0,
            "eval_prompts": 104,
        },
        stages=stages,
        maxrl={
            "total_steps": 450,
            "prompts_per_step": 8,
            "num_generations": 16,
            "max_completion_length": 96,
            "learning_rate": 1e-4,
            "warmup_steps": 4,
            "decay_steps": 250,
            "compile_share": 0.5,
            "rollout_engine": "native",
            "held_out_tasks": 160,
            "sample_steps": 20,
            "eval_steps": 0,
        },
        gate={"total_steps": 60, "batch_size": 8, "seq_len": 256},
        evaluate={
            "suites": ("compile-rate", "humaneval-rust", "semantic", "perplexity"),
            "max_new_tokens": 256,
            "engine": "native",
        },
    )


if __name__ == "__main__":
    main(finetune)
