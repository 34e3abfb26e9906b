"""
A model for one consumer GPU or a patient laptop: hours instead of days.

    accelerate launch recipes/nano.py
"""

try:
    from recipes.pipeline.program import main
except ModuleNotFoundError as error:
    if error.name != "recipes":
        raise
    raise SystemExit("nanochat-ternary is not installed: run `make install`, or `pip install -e .`") from None

from recipes.base import large
from recipes.pipeline.schema import Recipe


def nano() -> Recipe:
    """A ternary LoopLM of six blocks and four loops, for one consumer GPU."""
    return large().changed(
        name="nano",
        description="a ternary LoopLM of six blocks and four loops, for one consumer GPU",
        model={
            "vocab_size": 8192,
            "hidden_size": 512,
            "intermediate_size": 1408,
            "num_shared_layers": 6,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 64,
            "max_position_embeddings": 1024,
            "mhc_num_streams": 1,
            "exit_entropy_weight": 0.1,
        },
        data={"seq_len": 1024, "vocab_size": 8192, "synthetic_samples": 5000, "verify": False},
        training={
            "micro_batch_size": 8,
            "muon_lr": 0.01,
            "lion_lr": 2e-4,
            "grad_clip": 1.0,
            "save_steps": 500,
            "eval_steps": 500,
            "eval_seconds": 20.0,
            "checkpointing": "none",
            "compile_blocks": False,
        },
        pretrain={
            "total_steps": 10_000,
            "batch_size": 16,
            "seq_len": 1024,
            "peak_lr": 1e-3,
            "min_lr": 1e-4,
            "warmup_steps": 200,
            "decay_steps": 2000,
        },
        maxrl={
            "total_steps": 500,
            "micro_batch_size": 32,
            "max_completion_length": 256,
            "learning_rate": 5e-5,
            "warmup_steps": 20,
            "reward_threshold": 1.0,
            "sample_steps": 50,
            "eval_steps": 120,
        },
        gate={"batch_size": 16, "seq_len": 1024},
        evaluate={"samples": 1},
    )


if __name__ == "__main__":
    main(nano)
