"""The depth at which a LoopLM was measured, in words for a model card."""

from evaluation.results import Results


def describe_depth(results: Results) -> str:
    """
    Return the number of loops that were run: as asked for, or else as the configuration says. Empty for a model
    without loops.
    """
    settings, model = results.settings, results.model
    if "num_loops" not in model:
        return ""
    exit_at_loop, threshold = settings["exit_at_loop"], settings["exit_threshold"]
    if exit_at_loop is None and threshold is None:
        threshold = model.get("exit_threshold")
    if exit_at_loop is None and (threshold is None or threshold >= 1):
        exit_at_loop = model.get("exit_at_loop")
    if exit_at_loop is not None:
        words = f"exit after loop {exit_at_loop}"
    else:
        words = f"{settings['num_loops'] or model['num_loops']} loops"
        if threshold is not None and threshold < 1:
            words += f", {describe_early_exit(threshold, results.details['mean_loops'])}"
    return words + describe_kv_reuse(results)


def describe_early_exit(threshold: float, mean_loops: float) -> str:
    """Return an exit threshold with the loops per token that it led to."""
    return f"exit threshold {threshold}: {mean_loops:.2f} loops per token"


def describe_kv_reuse(results: Results) -> str:
    """Return what follows the depth of a model that caches the last loop only; empty for others."""
    return ", key-value cache of the last loop only" if results.model.get("kv_reuse") == "last" else ""
