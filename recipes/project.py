"""
A small ternary LoopLM of your own Rust, in a few minutes on two processor cores:

    accelerate launch recipes/project.py --data-dir ~/src/my-crate

It reads the toolchain's documentation first, which is more text than most projects have, and ends with a stage that
reads the project, and a share of the documentation so that this is not forgotten. What is held out is of the project.
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

from dataclasses import replace

from recipes import debug
from recipes.pipeline.command_line import main
from trainers.stages import Stage

RECIPE = replace(
    debug.RECIPE,
    name="project",
    description="the debug recipe's model, trained on the toolchain's documentation and then on a project of yours",
    data=replace(debug.RECIPE.data, toolchain_docs=True, tasks=0, task_tier=None, validation_fraction=0.05),
    later_stages=(
        Stage(
            name="project",
            total_steps=150,
            batch_size=2,
            seq_len=512,
            peak_lr=6e-4,
            min_lr=6e-5,
            decay_steps=100,
            mix={"data_dir": 3, "text": 1},
        ),
    ),
)

if __name__ == "__main__":
    main(RECIPE)
