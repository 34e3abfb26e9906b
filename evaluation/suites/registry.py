"""
All suites, by the name that `--suite` takes. A new suite is one file and one line here.

Modules are imported when a suite is used, so that the names are known without importing PyTorch.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evaluation.suites.suite import Suite

SUITES = {
    "humaneval-rust": "evaluation.suites.humaneval_rust:HumanEvalRust",
    "multipl-e-rust": "evaluation.suites.multipl_e_rust:MultiplERust",
    "compile-rate": "evaluation.suites.compile_rate:CompileRate",
    "semantic": "evaluation.suites.semantic.suite:Semantic",
    "tasks": "evaluation.suites.tasks:Tasks",
    "exercism": "evaluation.suites.exercism:Exercism",
    "crate-holes": "evaluation.suites.crate_holes:CrateHoles",
    "rustc": "evaluation.suites.rustc.suite:Rustc",
    "repair": "evaluation.suites.repair:Repair",
    "perplexity": "evaluation.suites.perplexity:Perplexity",
    "performance": "evaluation.suites.performance:Performance",
}
"""Module and class of each suite, in the order in which they run and are listed."""
ALL = "all"
"""Selects every suite; those whose problems are missing are skipped."""


def suite_class(name: str) -> "type[Suite]":
    """Return the suite of this name. Raises `ValueError` for an unknown name."""
    if name not in SUITES:
        raise ValueError(f"suite must be one of {', '.join(SUITES)}, got {name!r}")
    module, _, attribute = SUITES[name].partition(":")
    return getattr(import_module(module), attribute)


def suite_classes(names: Iterable[str] = (ALL,)) -> "list[type[Suite]]":
    """Return the suites of these names, each once, in the order of the registry; `all` stands for every suite."""
    wanted = list(names)
    if ALL in wanted:
        return [suite_class(name) for name in SUITES]
    found = {name: suite_class(name) for name in wanted}
    return [found[name] for name in SUITES if name in found]


def suite_of(benchmark: str) -> "type[Suite]":
    """
    Return the suite that wrote results under this benchmark name. Where no registered suite did, this is the base
    class `Suite`, whose tables fit any results.
    """
    from evaluation.suites.suite import Suite

    return next((each for each in suite_classes() if each.wrote(benchmark)), Suite)
