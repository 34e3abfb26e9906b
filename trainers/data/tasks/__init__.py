"""Tasks for reinforcement learning: a prompt, a solution, and cases that only a right solution passes."""

from importlib import import_module
from typing import Any

# Imported when they are asked for: tasks are made and read without PyTorch, which only measuring a model needs.
_MODULES = {
    "Solved": "measure",
    "Task": "task",
    "load_tasks": "task",
    "measure_tasks": "measure",
    "split_tasks": "task",
    "task_prompts": "prompts",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
