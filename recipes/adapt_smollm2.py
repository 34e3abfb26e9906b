"""
SmolLM2 with 135 million parameters, adapted to Rust as a looped ternary model, on one small GPU or a patient CPU:

    accelerate launch recipes/adapt_smollm2.py
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
from trainers.conversion.installed import smollm2_file

PUBLISHED = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
    "vocab_size": 49152,
}
"""Of SmolLM2-135M and of its instruction-tuned version."""


def adapt_smollm2() -> Recipe:
    """SmolLM2-135M as a ternary model with a core of ten layers in two loops, taught by the float model."""
    source = SourceSettings(
        model=smollm2_file() or "HuggingFaceTB/SmolLM2-135M",
        published=PUBLISHED,
        num_loops=2,
        core_layers=10,
        # 128 does not divide the hidden size.
        group_size=64,
    )
    return adapted(source, tokens=49152).changed(
        name="adapt_smollm2",
        description="SmolLM2-135M made looped and ternary and taught Rust, on one small GPU or a patient CPU",
    )


if __name__ == "__main__":
    main(adapt_smollm2)
