"""Data sets of prompts for reinforcement learning."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from trainers.data.tasks.task import Task

INSTRUCTION = "Write this function in Rust. Answer with one block of code that holds the whole program.\n\n"


def task_prompts(tasks: Sequence[Task], chat: bool = False) -> Dataset:
    """
    A row for each task with the columns that `RustReward` and the curriculum read: `prompt`, `signature`, `checker`,
    `tier`, and `id`, `family`.

    Args:
        tasks: What is asked.
        chat: The prompt is a conversation that asks for a whole program; otherwise it is the text to continue, up to
            the opening brace. What follows the brace is the model's: a line break there would be a token of its own.
    """
    rows = [
        {
            "prompt": as_chat(task.prompt) if chat else task.prompt.rstrip(),
            "signature": task.signature,
            "checker": task.checker,
            "tier": task.tier,
            "id": task.id,
            "family": task.family,
        }
        for task in tasks
    ]
    return Dataset.from_list(rows)


def as_chat(prompt: str) -> list[dict[str, Any]]:
    """A prompt that ends with an opening brace, as a conversation."""
    asked = prompt.rstrip().removesuffix("{").rstrip()
    return [{"role": "user", "content": f"{INSTRUCTION}```rust\n{asked};\n```"}]
