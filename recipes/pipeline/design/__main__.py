"""Write the page about the large recipes: `python -m recipes.pipeline.design --output docs/recipes.md`."""

import sys
from pathlib import Path

from evaluation.complete_files import check_new_file, complete_file
from evaluation.exit_status import exit_status
from evaluation.options import CommandParser


def main() -> int:
    """Run this file as a program; return the exit status."""
    parser = CommandParser(
        prog="python -m recipes.pipeline.design",
        description="Write the page that has every key of the design document, with the setting of the recipes that "
        "has its value. An existing page is replaced.",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="Markdown file to write")
    options = parser.parse_args()
    return exit_status(parser.prog, lambda: write_page(options.output))


def write_page(output: Path) -> int:
    """Write the page; return the exit status."""
    check_new_file(output, overwrite=True)
    from recipes.config_a import config_a
    from recipes.config_b import config_b
    from recipes.config_c import config_c
    from recipes.pipeline.design.page import page

    text = page({make.__name__: make() for make in (config_a, config_b, config_c)})
    with complete_file(output) as partial:
        partial.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
