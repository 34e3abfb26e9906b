"""
A small ternary LoopLM on the Rust that comes with the compiler, in a few minutes on two processor cores:

    accelerate launch recipes/debug.py
"""

try:
    from recipes.pipeline.options import before_imports
except ModuleNotFoundError as error:
    if error.name != "recipes":
        raise
    raise SystemExit("nanochat-ternary is not installed: run `make install`, or `pip install -e .`") from None

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    before_imports(__doc__)

from modeling_nanochat import LoopLMConfig
from recipes.pipeline.command_line import main
from recipes.pipeline.schema import DataRecipe, ExportRecipe, Recipe, TrainingRecipe
from trainers.stages import MaxRLStage, Stage

RECIPE = Recipe(
    name="debug",
    description="a ternary LoopLM of two blocks and four loops, trained for a few minutes on real Rust",
    model=LoopLMConfig(
        vocab_size=4096,
        hidden_size=256,
        intermediate_size=512,
        num_shared_layers=2,
        num_loops=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        ternary_group_size=256,
        exit_entropy_weight=0.5,
    ),
    data=DataRecipe(seq_len=512, vocab_size=4096, tasks=400, task_tier=0),
    training=TrainingRecipe(
        total_steps=300,
        warmup_steps=20,
        decay_steps=100,
        batch_size=2,
        micro_batch_size=2,
        peak_lr=1.2e-3,
        min_lr=1.2e-4,
        logging_steps=20,
        save_steps=60,
        eval_steps=60,
        eval_prompts=24,
    ),
    export=ExportRecipe(gguf="tq2_0"),
    later_stages=(
        Stage(
            name="tasks",
            total_steps=300,
            batch_size=8,
            seq_len=128,
            peak_lr=1.2e-3,
            min_lr=1.2e-4,
            decay_steps=225,
            mix={"tasks": 2, "text": 1},
        ),
        MaxRLStage(
            name="maxrl",
            total_steps=16,
            prompts_per_step=4,
            num_generations=16,
            max_completion_length=64,
            learning_rate=1e-4,
            mode="compile",
            held_out_tasks=16,
            sample_steps=8,
        ),
    ),
)

if __name__ == "__main__":
    main(RECIPE)
