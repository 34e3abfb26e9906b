"""The evaluation of a LoopLM at every depth, so that a report can show its completions side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from evaluation.loading import load_model
from evaluation.results import Results
from evaluation.run import Loading, evaluate_model
from evaluation.settings import EvaluationSettings
from evaluation.suites.suite import Suite
from modeling_nanochat import is_looplm


def evaluate_every_depth(
    model: str,
    suites: Sequence[str | Suite],
    output_dir: Path,
    settings: EvaluationSettings,
    loading: Loading,
    command: str = "",
    console: Console | None = None,
) -> list[Results]:
    """
    Run suites with 1, 2, ... loops, up to the model's own number, each in a folder `loops_1`, `loops_2`, ... of
    `output_dir`. Interrupted, it continues when it is called again. The arguments are those of `evaluate_model`.

    Returns:
        The results of all depths, the smallest one first.

    Raises:
        ValueError: A depth is set, the model has no loops, or what `evaluate_model` raises.
    """
    if settings.generation.depth:
        given = ", ".join(settings.generation.depth)
        raise ValueError(f"all_depths runs every depth and cannot be used with {given}: leave one of them out")
    loaded, tokenizer = load_model(model, loading.trust_remote_code, loading.dtype, loading.device)
    if not is_looplm(loaded.config):
        raise ValueError(f"all_depths needs a LoopLM, got a model of type {loaded.config.model_type}")
    found = []
    for loops in range(1, loaded.config.num_loops + 1):
        at_depth = replace(settings, generation=replace(settings.generation, num_loops=loops))
        folder = output_dir / f"loops_{loops}"
        found += evaluate_model(
            loaded, suites, folder, at_depth, tokenizer=tokenizer, command=command, console=console
        )
    return found
