"""The page `docs/recipes.md`: every key of the design document, and where it is in the recipes."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recipes.pipeline.design.configurations import CONFIGURATION
from recipes.pipeline.design.key import RECIPES, Key, Part, Row
from recipes.pipeline.design.machines import MACHINES
from recipes.pipeline.design.results import RESULTS
from recipes.pipeline.design.scripts import SCRIPTS

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe

PARTS = (CONFIGURATION, MACHINES, SCRIPTS, RESULTS)
COMMAND = "python -m recipes.pipeline.design --output docs/recipes.md"
COLUMNS = ("design document", "A", "B", "C", "here", "note")
HEAD = """# The large recipes, key by key

The recipes [config_a](../recipes/config_a.py), [config_b](../recipes/config_b.py) and
[config_c](../recipes/config_c.py) follow three configurations of a design document, which names
things in its own way. The tables have every key of it ({count} in the configurations), its value
in A, B and C, and the setting that has this value here, a switch of another program, or why there
is none. Where a recipe has another value, both are shown, and the note says why.

`accelerate launch recipes/config_a.py --show` explains every setting, and `--plan` counts what a
run needs. The page is made from the recipes, and a test compares it with them:

```bash
{command}
```
"""


def design_rows(recipes: "Mapping[str, Recipe]", part: Part) -> list[Row]:
    """
    Return the rows of all configurations, in the document's order.

    Args:
        recipes: config_a, config_b and config_c by name.
        part: Part of the document.
    """
    from recipes.pipeline.settings import settings

    return [row for name in RECIPES for row in part.rows(name, settings(recipes[name]))]


def page(recipes: "Mapping[str, Recipe]") -> str:
    """
    Return the page in Markdown.

    Args:
        recipes: config_a, config_b and config_c by name.
    """
    count = sum(map(len, CONFIGURATION.values.values()))
    lines = [HEAD.format(count=count, command=COMMAND)]
    for part in PARTS:
        introduction = textwrap.fill(part.introduction, 100, break_long_words=False, break_on_hyphens=False)
        rows = design_rows(recipes, part)
        lines += [f"## {part.title}\n", f"{introduction}\n", *_table(rows, part), ""]
    return "\n".join(lines).rstrip() + "\n"


def _table(rows: Sequence[Row], part: Part) -> Iterator[str]:
    yield _line(COLUMNS)
    yield _line(["---"] * len(COLUMNS))
    for key in part.keys:
        found = {name: _row_of(rows, key, part, name) for name in RECIPES}
        note = max((row.sentence for row in found.values() if row is not None), key=len)
        yield _line(
            [f"`{key.name}`" if part is not RESULTS else key.name, *map(_cell, found.values()), _here(key), note]
        )


def _row_of(rows: Sequence[Row], key: Key, part: Part, name: str) -> Row | None:
    position = RECIPES.index(name)
    start = sum(len(part.values[other]) for other in RECIPES[:position])
    own = rows[start : start + len(part.values[name])]
    return next((row for row in own if row.key is key), None)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    given = _text(row.value)
    return given if row.key.setting is None or row.is_equal else f"{given} (here {_text(row.here)})"


def _text(value: Any) -> str:
    if isinstance(value, float) and value >= 1e6:
        return f"{value:g}".replace("e+0", "e")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if value in ("", ()):
        return "yes" if value == "" else "none"
    return str(value)


def _here(key: Key) -> str:
    if key.setting is not None:
        return f"`{key.setting}`"
    return "" if key.switch is None else key.switch


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
