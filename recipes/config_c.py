"""
Config C: many processor cores and one GPU with 24 GB, 6K context.

    accelerate launch recipes/config_c.py
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


def config_c() -> Recipe:
    """1 billion parameters in 22 blocks and four loops, for one GPU with 24 GB and many processor cores."""
    return large().changed(
        name="config_c",
        description="1 billion parameters in 22 blocks and four loops, for one GPU with 24 GB and many CPU cores",
        gpu="RTX 4090",
        model={
            "hidden_size": 1792,
            "intermediate_size": 4864,
            "num_shared_layers": 22,
            "num_attention_heads": 14,
            "num_key_value_heads": 14,
            "max_position_embeddings": 6144,
            "exit_entropy_weight": 0.06,
        },
        data={
            "seq_len": 6144,
            "mix": RECIPE_MIXES["config_c"],
            "min_compile_rate": 0.87,
            "verify_every_n_examples": 200,
        },
        training={
            "micro_batch_size": 1,
            "muon_lr": 0.022,
            "lion_lr": 1.1e-4,
            "grad_clip": 4.5,
            "eval_seconds": 300.0,
        },
        pretrain={
            "total_steps": 120_000,
            "batch_size": 24,
            "seq_len": 6144,
            "peak_lr": 3.5e-4,
            "min_lr": 3.5e-5,
            "warmup_steps": 1500,
            "decay_steps": 22_500,
        },
        maxrl={"total_steps": 60_000, "prompts_per_step": 8, "max_completion_length": 512},
        gate={"batch_size": 24, "seq_len": 6144},
        hardware={
            "dataloader_num_workers": 112,
            "dataloader_prefetch_factor": 8,
            "preparation_workers": 112,
            # OpenMP's threads are PyTorch's own; 224 would share the units of 112 cores, to which the run is bound.
            "cpu_threads": 56,
            "interop_threads": 28,
            "cpu_affinity": "0-111",
            "numa": "interleave",
            "numa_nodes": 16,
            "gpu_memory_fraction": 0.90,
            "mixed_precision": "bf16",
        },
    )


if __name__ == "__main__":
    main(config_c)
