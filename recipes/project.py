"""
A small ternary LoopLM of your own Rust, in a few minutes on two processor cores:

    accelerate launch recipes/project.py --data-dir ~/src/my-crate

It trains on the documentation of the toolchain first, which is more text than most projects have, and ends with a
stage on the project, with a share of the documentation so that this is not forgotten. The held-out text is of the
project.
"""

try:
    from recipes.pipeline.program import main
except ModuleNotFoundError as error:
    if error.name != "recipes":
        raise
    raise SystemExit("nanochat-ternary is not installed: run `make install`, or `pip install -e .`") from None

from recipes.base import small
from recipes.pipeline.schema import Recipe


def project() -> Recipe:
    """The debug recipe's model, trained on the toolchain's documentation and then on a project of yours."""
    return small().changed(
        name="project",
        description="a small model of the toolchain's documentation, and then of a project of yours",
        data={"toolchain_docs": True, "validation_fraction": 0.05},
        sft={"name": "project", "total_steps": 150, "decay_steps": 100, "mix": {"data_dir": 3, "text": 1}},
    )


if __name__ == "__main__":
    main(project)
