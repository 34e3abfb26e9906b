"""A recipe as a program: parses its options before PyTorch is imported, so that `--help` answers at once."""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from evaluation.exit_status import BAD_INPUT, quiet_libraries
from recipes.pipeline.options import add_options

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors end the launcher without a traceback, as all errors of a recipe do."""

    def error(self, message: str) -> NoReturn:
        end_run(f"{self.format_usage()}{self.prog}: error: {message}", BAD_INPUT)


def main(make_recipe: "Callable[[], Recipe]", arguments: list[str] | None = None) -> None:
    """
    Run a recipe with the options of the command line. What cannot be done ends with one line that says why.

    Args:
        make_recipe: Function whose docstring describes the recipe.
        arguments: Of the command line; None takes those of this process.
    """
    parser = OneLineParser(description=make_recipe.__doc__)
    add_options(parser)
    options = parser.parse_args(arguments)
    quiet_libraries()
    from recipes.pipeline.command_line import run_recipe

    run_recipe(make_recipe, options, parser.prog)


def end_run(message: str, status: int) -> NoReturn:
    """End this process with a line on stderr, from the main process alone, and the launcher without a traceback."""
    import psutil

    if os.environ.get("RANK", "0") == "0":
        print(message, file=sys.stderr, flush=True)
    launcher = psutil.Process().parent()
    command = launcher.cmdline() if launcher is not None else []
    if launcher is not None and "launch" in command and any(Path(part).name == "accelerate" for part in command):
        # It would print a traceback of its own, which says nothing but that this process ended with an error.
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            launcher.send_signal(signal.SIGTERM)
        elif status == BAD_INPUT:
            # All processes end alike; the launcher of several catches every gentler signal.
            launcher.send_signal(signal.SIGKILL)
    sys.exit(status)
