"""`python -m trainers.data`: generate Rust (`synth`), rewrite it (`augment`), make tasks (`holes`), and `report`."""

import argparse
import sys

from evaluation.exit_status import exit_status
from trainers.data import command_line
from trainers.data.tasks.command_line import add_holes


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m trainers.data", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    command_line.add_synth(subcommands)
    command_line.add_augment(subcommands)
    add_holes(subcommands)
    command_line.add_report(subcommands)
    options = parser.parse_args(arguments)
    interrupted = "Interrupted." if options.command == "report" else "Interrupted; run the same command to continue."
    return exit_status(f"{parser.prog} {options.command}", lambda: options.run(options), interrupted)


if __name__ == "__main__":
    sys.exit(main())
