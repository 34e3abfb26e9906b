"""Assembly of Rust code from pieces of text."""

import re
import textwrap
from collections.abc import Iterable


def fill(template: str, **parts: object) -> str:
    """Return the template with every `$name` replaced; a part of several lines is indented like the line it is in."""
    lines = []
    for line in textwrap.dedent(template).strip("\n").split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        filled = re.sub(r"\$(\w+)", lambda found: _part(str(parts[found[1]])), line.lstrip())
        if filled.strip() or not line.strip():
            lines.append(textwrap.indent(filled, indent))
    return "\n".join(lines)


def _part(text: str) -> str:
    return textwrap.dedent(text).strip("\n") if "\n" in text else text


def blocks(*parts: str) -> str:
    """Join items or methods with empty lines."""
    return "\n\n".join(textwrap.dedent(part).strip("\n") for part in parts if part.strip())


def match_on(subject: str, arms: Iterable[tuple[object, object]]) -> str:
    """Return a `match` with these arms."""
    return f"match {subject} {{\n" + "".join(f"    {left} => {right},\n" for left, right in arms) + "}"


def braced(head: str, *members: str) -> str:
    """Return `head { members }` with empty lines between the members; the body of a function is one member."""
    return head + " {\n" + textwrap.indent("\n\n".join(each for each in members if each), "    ") + "\n}"


def items(*items: str) -> str:
    """Join the items of a file with empty lines."""
    return "\n\n".join(each for each in items if each) + "\n"
