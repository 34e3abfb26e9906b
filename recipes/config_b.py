"""
Configuration B: two GPUs with 24 GB each, 4K context.

    accelerate launch recipes/config_b.py
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
from trainers.stages import MaxRLStage

RECIPE = Recipe(
    name="config_b",
    description="0.7 billion parameters in 20 blocks and four loops, for two GPUs with 24 GB each",
    model=LoopLMConfig(
        vocab_size=50304,
        hidden_size=1536,
        intermediate_size=4096,
        num_shared_layers=20,
        num_loops=4,
        num_attention_heads=12,
        max_position_embeddings=4096,
        mhc_num_streams=2,
        exit_entropy_weight=0.08,
    ),
    data=DataRecipe(seq_len=4096, vocab_size=50257, tasks=5000),
    training=TrainingRecipe(
        total_steps=150_000,
        warmup_steps=1000,
        decay_steps=29_000,
        batch_size=4,
        micro_batch_size=2,
        peak_lr=4e-4,
        min_lr=4e-5,
        optimizer="muon_lion",
        muon_lr=0.025,
        lion_lr=1.2e-4,
        grad_clip=4.0,
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
            total_steps=75_000,
            prompts_per_step=8,
            num_generations=16,
            micro_batch_size=8,
            max_completion_length=512,
            learning_rate=1e-6,
            warmup_steps=100,
            reward_threshold=0.92,
            held_out_tasks=128,
            sample_steps=500,
        ),
    ),
)

if __name__ == "__main__":
    main(RECIPE)
