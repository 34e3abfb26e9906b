"""
Ouro with 1.4 billion parameters, which has four loops already, adapted as a ternary model, on one GPU with 96 GB:

    accelerate launch recipes/adapt_ouro.py
"""

try:
    from recipes.pipeline.program import main
except ModuleNotFoundError as error:
    if error.name != "recipes":
        raise
    raise SystemExit("nanochat-ternary is not installed: run `make install`, or `pip install -e .`") from None

from recipes.base import adapted
from recipes.pipeline.schema import Recipe
from recipes.pipeline.source_settings import SourceSettings

PUBLISHED = {
    "model_type": "ouro",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "head_dim": 128,
    "max_position_embeddings": 65536,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
    "total_ut_steps": 4,
    "vocab_size": 49152,
}
"""Of Ouro-1.4B."""


def adapt_ouro() -> Recipe:
    """Ouro-1.4B as a ternary model with its own four loops, taught by the float model."""
    source = SourceSettings(model="ByteDance/Ouro-1.4B", published=PUBLISHED)
    return adapted(source, tokens=49152).changed(
        name="adapt_ouro",
        description="Ouro-1.4B, with its own four loops, made ternary, on one GPU with 96 GB",
        gpu="RTX PRO 6000",
        data={"seq_len": 2048},
        training={"micro_batch_size": 4, "compile_blocks": True},
        distill={"batch_size": 16, "seq_len": 2048, "peak_lr": 3e-5, "min_lr": 3e-6},
        sft={"batch_size": 16, "seq_len": 2048, "peak_lr": 1e-5, "min_lr": 1e-6},
        maxrl={"max_completion_length": 512, "micro_batch_size": 8, "learning_rate": 1e-6},
        gate={"batch_size": 16, "seq_len": 2048},
        hardware={"mixed_precision": "bf16"},
    )


if __name__ == "__main__":
    main(adapt_ouro)
