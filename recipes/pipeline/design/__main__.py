"""Write the page about the large recipes: `python -m recipes.pipeline.design --output docs/recipes.md`."""

from pathlib import Path

from evaluation.complete_files import check_new_file, complete_file
from evaluation.options import CommandParser


def main() -> None:
    """Write the page."""
    parser = CommandParser(
        prog="python -m recipes.pipeline.design",
        description="Write the page that has every key of the design document, with the setting of the recipes that "
        "has its value. An existing page is replaced.",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="Markdown file to write")
    options = parser.parse_args()
    try:
        check_new_file(options.output, overwrite=True)
        from recipes.config_a import config_a
        from recipes.config_b import config_b
        from recipes.config_c import config_c
        from recipes.pipeline.design.page import page

        text = page({make.__name__: make() for make in (config_a, config_b, config_c)})
        with complete_file(options.output) as partial:
            partial.write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
