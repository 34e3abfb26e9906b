"""The page of the plans."""

import textwrap
from collections.abc import Iterable, Iterator

from rich.table import Table

from evaluation.tables import markdown_table
from recipes.pipeline.plan.plan import make_plan
from recipes.pipeline.plan.tables import parts
from recipes.pipeline.program import find_recipe

WIDTH = 100
HEAD = """\
# Plans of the recipes

This page is written by `python -m recipes.pipeline.plan`. `--plan` prints the plan of any recipe with
any settings, on any machine; it trains nothing and needs neither a GPU nor data:

```bash
python recipes/config_b.py --plan
python recipes/config_b.py --plan --gpu H100 --num-gpus 1 --set training.checkpointing=layer
```

Everything here is computed. Parameters are counted on the model itself, without memory for its
weights. FLOPs are those of the matrix products, two per multiplication and addition, and equal those
that `torch.utils.flop_counter` counts; "GFLOP" is per token of forward and backward and the base of
MFU (model FLOPs over the GPU's peak), "executed" adds what checkpointing computes again. Memory is
the sum of the tensors that a step needs at its worst moment, with a fixed reserve for CUDA. It is
compared in `tests/recipes/test_plan_memory.py` with the tensors that the model saves, byte by byte,
and with peaks that were measured on one H100, within a tenth. Speeds are what a share of the peak
would mean, not measurements: `benchmarks/gpu_training.py` measures the share that a GPU reaches.

The plan says nothing about losses, compile rates, and the time of reinforcement learning, most of
which goes into generating and running programs.
"""


def page(names: Iterable[str]) -> str:
    """Return the page in Markdown for recipes of these names."""
    return "\n\n".join([HEAD.rstrip(), *(_section(name) for name in names)]) + "\n"


def _section(name: str) -> str:
    recipe = find_recipe(name)()
    plan = make_plan(recipe, recipe.gpu or "RTX 4090")
    return "\n\n".join([f"## {name}", _wrapped(f"{recipe.description}."), *_blocks(parts(plan))])


def _blocks(found: Iterator[str | Table]) -> Iterator[str]:
    for part in found:
        yield markdown_table(part) if isinstance(part, Table) else _wrapped(part)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
