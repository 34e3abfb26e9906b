"""
Qwen2.5-Coder with 0.5 billion parameters, adapted as a looped ternary model, on one GPU with 24 GB:

    accelerate launch recipes/adapt_qwen_coder_0_5b.py
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
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": True,
    "vocab_size": 151936,
}
"""Of Qwen2.5-Coder-0.5B."""


def adapt_qwen_coder_0_5b() -> Recipe:
    """Qwen2.5-Coder-0.5B as a ternary model with a core of eight layers in two loops, taught by the float model."""
    source = SourceSettings(model="Qwen/Qwen2.5-Coder-0.5B", published=PUBLISHED, num_loops=2, core_layers=8)
    return adapted(source, tokens=151665).changed(
        name="adapt_qwen_coder_0_5b",
        description="Qwen2.5-Coder-0.5B made looped and ternary, on one GPU with 24 GB",
        gpu="RTX 4090",
        data={"seq_len": 1024},
        training={"micro_batch_size": 4, "compile_blocks": True},
        distill={"seq_len": 1024, "peak_lr": 1e-4, "min_lr": 1e-5},
        sft={"seq_len": 1024, "peak_lr": 3e-5, "min_lr": 3e-6},
        maxrl={"max_completion_length": 512, "micro_batch_size": 16, "learning_rate": 2e-6},
        gate={"seq_len": 1024},
        hardware={"mixed_precision": "bf16"},
    )


if __name__ == "__main__":
    main(adapt_qwen_coder_0_5b)
