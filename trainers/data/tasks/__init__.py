"""Tasks for reinforcement learning: a prompt, a solution, and hidden cases that only a correct solution passes."""

from importlib import import_module
from typing import Any

# Imported on first use: tasks are generated and loaded without PyTorch, which only measuring a model needs.
_MODULES = {
    "HoleTask": "holes",
    "OwnTask": "own_files",
    "Solved": "measure",
    "Task": "task",
    "hole_task_prompts": "prompts",
    "load_tasks": "task",
    "measure_tasks": "measure",
    "read_own_tasks": "own_files",
    "read_holes": "holes",
    "split_tasks": "task",
    "task_prompts": "prompts",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
