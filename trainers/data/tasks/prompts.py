"""Datasets of prompts for reinforcement learning."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from evaluation.own_task import OwnTask
from trainers.data.tasks.holes import HoleTask
from trainers.data.tasks.task import Task

INSTRUCTION = "Implement this function in Rust. Answer with one code block that contains the complete program.\n\n"

# The curriculum learns a success rate for each tier, and compiling is easier than passing the tests of tiers 0 to 4.
COMPILED_TIER = 5


def task_prompts(
    tasks: Sequence[Task | OwnTask],
    chat: bool = False,
    compiled: Sequence[Task] = (),
) -> Dataset:
    """
    Return a dataset with a row for each task and the columns that `RustReward` and the curriculum need: `prompt`,
    `signature`, `checker`, `tier`, and also `id` and `family`; with own tasks also `tests`, for those of other kinds.

    Args:
        tasks: Tasks to ask for.
        chat: Make the prompt a conversation that asks for a complete program. Otherwise, it is the code to complete,
            up to the opening brace; the line break after it would be a separate token and is left to the model. Own
            tasks keep their prompts.
        compiled: Tasks whose completions only have to compile, for `RustReward(mode="mixed")`: their rows have no
            checker.
    """
    rows = [task.columns() if isinstance(task, OwnTask) else _columns(task, chat) for task in tasks]
    rows += [_columns(task, chat) | {"checker": "", "tier": COMPILED_TIER + task.tier} for task in compiled]
    names = dict.fromkeys(name for row in rows for name in row)
    return Dataset.from_list([{name: row.get(name) for name in names} for row in rows])


def _columns(task: Task, chat: bool) -> dict[str, Any]:
    return {
        "prompt": as_chat(task.prompt) if chat else task.prompt.rstrip(),
        "signature": task.signature,
        "checker": task.checker,
        "tier": task.tier,
        "id": task.id,
        "family": task.family,
    }


def hole_task_prompts(tasks: Sequence[HoleTask]) -> Dataset:
    """
    Return a dataset of hole tasks with the columns that `RustReward` and the curriculum need: `prompt`, the code to
    complete up to the opening brace; `tests`, which name the crate, the function and its unit tests; `tier`, `id` and
    `family`, the name of the crate.
    """
    rows = [
        {
            "prompt": task.prompt,
            "tests": task.hole_tests.as_text(),
            "tier": task.tier,
            "id": task.id,
            "family": task.crate,
        }
        for task in tasks
    ]
    return Dataset.from_list(rows)


def as_chat(prompt: str) -> list[dict[str, Any]]:
    """Return a prompt that ends with an opening brace as a conversation."""
    asked = prompt.rstrip().removesuffix("{").rstrip()
    return [{"role": "user", "content": f"{INSTRUCTION}```rust\n{asked};\n```"}]
