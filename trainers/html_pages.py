"""HTML pages that a browser shows without a network, without JavaScript and in light or dark."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")


def as_text(part: Any) -> str:
    """A prompt or a completion as text; the messages of a conversation one after the other."""
    if isinstance(part, str):
        return part
    return "\n".join(f"{message['role']}: {message['content']}" for message in part) + "\n"


def render(template: str, folders: Sequence[Path] = (), **values: Any) -> str:
    """
    The page that a template makes of the values, each escaped: what a model wrote stays text. `folders` are searched
    for templates before the common ones.
    """
    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["text"] = as_text
    return environment.get_template(template).render(values)


def write_whole(path: Path, page: str) -> Path:
    """Writes a file that is never half there; what UTF-8 has no form for is written as an escape."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_bytes(page.encode("utf-8", "backslashreplace"))
    return unfinished.replace(path)
