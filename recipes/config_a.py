"""
Configuration A: one GPU with 96 GB, 8K context, then a stage at 64K.

    accelerate launch recipes/config_a.py
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
from recipes.pipeline.schema import DataRecipe, Recipe, TrainingRecipe
from trainers.stages import MaxRLStage, Stage

RECIPE = Recipe(
    name="config_a",
    description="1.3 billion parameters in 24 blocks and four loops, for one GPU with 96 GB; then 64K of context",
    model=LoopLMConfig(
        vocab_size=50304,
        hidden_size=2048,
        intermediate_size=5632,
        num_shared_layers=24,
        num_loops=4,
        num_attention_heads=16,
        max_position_embeddings=8192,
        mhc_num_streams=4,
        exit_entropy_weight=0.05,
    ),
    data=DataRecipe(seq_len=8192, vocab_size=50257, tasks=5000),
    training=TrainingRecipe(
        total_steps=100_000,
        warmup_steps=2000,
        decay_steps=18_000,
        batch_size=32,
        micro_batch_size=4,
        peak_lr=3e-4,
        min_lr=3e-5,
        optimizer="muon_lion",
        muon_lr=0.02,
        lion_lr=1e-4,
        grad_clip=5.0,
        logging_steps=20,
        save_steps=1000,
        eval_steps=1000,
        eval_prompts=104,
        checkpointing="loop",
        compile_blocks=True,
    ),
    later_stages=(
        MaxRLStage(
            name="maxrl",
            total_steps=50_000,
            prompts_per_step=16,
            num_generations=16,
            micro_batch_size=8,
            max_completion_length=1024,
            learning_rate=1e-6,
            warmup_steps=100,
            reward_threshold=0.9,
            held_out_tasks=128,
            sample_steps=500,
        ),
        Stage(
            name="long_context",
            total_steps=20_000,
            batch_size=4,
            seq_len=65536,
            peak_lr=1e-5,
            warmup_steps=200,
            schedule="constant",
            exit_entropy_weight=0.01,
            rope_theta=1e6,
        ),
    ),
)

if __name__ == "__main__":
    main(RECIPE)
