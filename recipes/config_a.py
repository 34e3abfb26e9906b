"""
Config A: one GPU with 96 GB, 8K context, then 64K.

    accelerate launch recipes/config_a.py
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


def config_a() -> Recipe:
    """1.3 billion parameters in 24 blocks and four loops, for one GPU with 96 GB; then 64K of context."""
    return large().changed(
        name="config_a",
        description="1.3 billion parameters in 24 blocks and four loops, for one GPU with 96 GB; then 64K of context",
        gpu="RTX PRO 6000",
        data={"mix": RECIPE_MIXES["config_a"], "min_compile_rate": 0.85, "verify_every_n_examples": 100},
        training={"eval_seconds": 300.0},
        long_context={"total_steps": 20_000},
        hardware={
            "dataloader_num_workers": 64,
            "dataloader_prefetch_factor": 10,
            "preparation_workers": 64,
            "cpu_threads": 128,
            "interop_threads": 16,
            "numa": "interleave",
            "numa_nodes": 8,
            "gpu_memory_fraction": 0.95,
            "mixed_precision": "bf16",
        },
    )


if __name__ == "__main__":
    main(config_a)
