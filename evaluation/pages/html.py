"""
HTML pages that are one file and need no network, in light and dark mode.

A page forbids everything that it does not hold: its only script is the browser of samples, named by its hash.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evaluation.pages.samples import PackedSamples

TEMPLATES = Path(__file__).with_name("templates")
SCRIPT = TEMPLATES / "browser.js"


def render(template: str, folders: Sequence[Path] = (), samples: PackedSamples | None = None, **values: Any) -> str:
    """
    Render a template with the given values, all of them escaped, so that what a model wrote stays text.

    Args:
        template: File name of a template that extends `base.html`.
        folders: Folders to search for templates before the common one.
        samples: Samples to browse, where the template calls `browser(samples)` of `browser.html`; None for a page
            without a script.
        values: By their names in the template.
    """
    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = SCRIPT.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shared = {"samples": samples, "script": Markup(script), "script_hash": digest}
    return environment.get_template(template, globals=shared).render(values)


def data_uri(path: Path) -> str | None:
    """Return a PNG file as the address of an image within a page; None without the file."""
    if not path.exists():
        return None
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def write_whole(path: Path, page: str) -> Path:
    """Write a file atomically; characters that UTF-8 cannot encode (lone surrogates) are written as escapes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_bytes(page.encode("utf-8", "backslashreplace"))
    return unfinished.replace(path)
