"""
A model for one consumer GPU or a patient laptop: hours instead of days.

    accelerate launch recipes/nano.py
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
    name="nano",
    description="a ternary LoopLM of six blocks and four loops, for one consumer GPU",
    model=LoopLMConfig(
        vocab_size=8192,
        hidden_size=512,
        intermediate_size=1408,
        num_shared_layers=6,
        num_loops=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        exit_entropy_weight=0.1,
    ),
    data=DataRecipe(seq_len=1024, vocab_size=8192, synthetic_samples=5000, tasks=5000),
    training=TrainingRecipe(
        total_steps=10_000,
        warmup_steps=200,
        decay_steps=2000,
        batch_size=16,
        micro_batch_size=8,
        peak_lr=1e-3,
        min_lr=1e-4,
        optimizer="muon_lion",
        muon_lr=0.01,
        lion_lr=2e-4,
        logging_steps=20,
        save_steps=500,
        eval_steps=500,
        eval_prompts=104,
    ),
    later_stages=(
        MaxRLStage(
            name="maxrl",
            total_steps=500,
            prompts_per_step=16,
            num_generations=16,
            max_completion_length=256,
            learning_rate=5e-5,
            warmup_steps=20,
            held_out_tasks=128,
        ),
    ),
)

if __name__ == "__main__":
    main(RECIPE)
