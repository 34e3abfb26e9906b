"""
Config B: two GPUs with 24 GB each, 4K context.

    accelerate launch recipes/config_b.py
"""

try:
    from recipes.pipeline.program import main
except ModuleNotFoundError as error:
    if error.name != "recipes":
        raise
    raise SystemExit("nanochat-ternary is not installed: run `make install`, or `pip install -e .`") from None

from recipes.base import large
from recipes.pipeline.schema import Recipe
from trainers.data.mix_names import RECIPE_MIXES


def config_b() -> Recipe:
    """0.7 billion parameters in 20 blocks and four loops, for two GPUs with 24 GB each."""
    return large().changed(
        name="config_b",
        description="0.7 billion parameters in 20 blocks and four loops, for two GPUs with 24 GB each",
        gpu="RTX 4090",
        num_gpus=2,
        model={
            "hidden_size": 1536,
            "intermediate_size": 4096,
            "num_shared_layers": 20,
            "num_attention_heads": 12,
            "num_key_value_heads": 12,
            "max_position_embeddings": 4096,
            "mhc_num_streams": 2,
            "exit_entropy_weight": 0.08,
        },
        data={
            "seq_len": 4096,
            "mix": RECIPE_MIXES["config_b"],
            "min_compile_rate": 0.88,
            "verify_every_n_examples": 50,
        },
        training={
            "micro_batch_size": 2,
            "muon_lr": 0.025,
            "lion_lr": 1.2e-4,
            "grad_clip": 4.0,
            "eval_seconds": 60.0,
        },
        pretrain={
            "total_steps": 150_000,
            "batch_size": 4,
            "seq_len": 4096,
            "peak_lr": 4e-4,
            "min_lr": 4e-5,
            "warmup_steps": 1000,
            "decay_steps": 29_000,
        },
        maxrl={
            "total_steps": 75_000,
            "prompts_per_step": 8,
            "max_completion_length": 512,
            "reward_threshold": 0.92,
        },
        gate={"batch_size": 4, "seq_len": 4096},
        hardware={
            "dataloader_num_workers": 8,
            "dataloader_prefetch_factor": 4,
            "preparation_workers": 8,
            "cpu_threads": 16,
            "interop_threads": 4,
            "gpu_memory_fraction": 0.92,
            "mixed_precision": "bf16",
            "ddp_bucket_cap_mb": 25,
        },
    )


if __name__ == "__main__":
    main(config_b)
