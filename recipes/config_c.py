"""
Configuration C: many processor cores and one GPU with 24 GB, 6K context.

    accelerate launch recipes/config_c.py
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
    name="config_c",
    description="1 billion parameters in 22 blocks and four loops, for one GPU with 24 GB and many processor cores",
    model=LoopLMConfig(
        vocab_size=50304,
        hidden_size=1792,
        intermediate_size=4864,
        num_shared_layers=22,
        num_loops=4,
        num_attention_heads=14,
        max_position_embeddings=6144,
        mhc_num_streams=4,
        exit_entropy_weight=0.06,
    ),
    data=DataRecipe(seq_len=6144, vocab_size=50257, tasks=5000),
    training=TrainingRecipe(
        total_steps=120_000,
        warmup_steps=1500,
        decay_steps=22_500,
        batch_size=24,
        micro_batch_size=1,
        peak_lr=3.5e-4,
        min_lr=3.5e-5,
        optimizer="muon_lion",
        muon_lr=0.022,
        lion_lr=1.1e-4,
        grad_clip=4.5,
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
            total_steps=60_000,
            prompts_per_step=8,
            num_generations=16,
            micro_batch_size=8,
            max_completion_length=512,
            learning_rate=1e-6,
            warmup_steps=100,
            reward_threshold=0.9,
            held_out_tasks=128,
            sample_steps=500,
        ),
    ),
)

if __name__ == "__main__":
    main(RECIPE)
