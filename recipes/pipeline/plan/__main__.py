"""`python -m recipes.pipeline.plan` writes the plans of the recipes on a page."""

import sys
from pathlib import Path

from evaluation.exit_status import exit_status, quiet_libraries
from evaluation.options import CommandParser, HelpFormatter

DESCRIPTION = "Write a page with the plans of recipes: parameters, FLOPs, memory, speed, and the design's targets."
RECIPES = ("config_a", "config_b", "config_c", "nano")


def main(arguments: list[str] | None = None) -> int:
    """Write the page; return the exit status."""
    parser = CommandParser(
        prog="python -m recipes.pipeline.plan", description=DESCRIPTION, formatter_class=HelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("docs/plan.md"), help="page to write")
    options = parser.parse_args(arguments)
    return exit_status(parser.prog, lambda: write(options.output))


def write(path: Path) -> int:
    """Write the page; return the exit status."""
    # `--help` answers at once, without PyTorch.
    quiet_libraries()
    from evaluation.complete_files import complete_file
    from recipes.pipeline.plan.page import page

    with complete_file(path) as partial:
        partial.write_text(page(RECIPES), encoding="utf-8")
    print(f"Written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
