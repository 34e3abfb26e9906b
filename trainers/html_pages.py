"""HTML pages that need no network and no JavaScript, in light and dark mode."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")


def as_text(part: Any) -> str:
    """A prompt or a completion as text; for a conversation, its messages one after the other."""
    if isinstance(part, str):
        return part
    return "\n".join(f"{message['role']}: {message['content']}" for message in part) + "\n"


def render(template: str, folders: Sequence[Path] = (), **values: Any) -> str:
    """
    Render a template with the given values, all of them escaped, so that what a model wrote stays text.

    Args:
        template: File name of the template.
        folders: Folders to search for templates before the common one.
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
    """Write a file atomically; characters that UTF-8 cannot encode (lone surrogates) are written as escapes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_bytes(page.encode("utf-8", "backslashreplace"))
    return unfinished.replace(path)
