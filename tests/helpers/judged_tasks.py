"""A task for the adapters, and answers to it."""

import json
from pathlib import Path

PROMPT = "/// The larger of both.\nfn larger(a: i32, b: i32) -> i32 {"
TASK = {
    "prompt": PROMPT,
    "signature": "fn larger(a: i32, b: i32) -> i32;",
    "checker": "check!(larger(1, 2) == 2); check!(larger(77, -1) == 77);",
}
RIGHT = f"So:\n```rust\n{PROMPT} a.max(b) }}\n```"
WRONG = f"```rust\n{PROMPT} a }}\n```"
BROKEN = f"```rust\n{PROMPT} a.larger(b) }}\n```"
OPEN = f"```rust\n{PROMPT} a.max(b) }}"


def write_tasks(path: Path) -> str:
    """Write a file with the task; returns its name."""
    path.write_text(json.dumps(TASK) + "\n")
    return str(path)
