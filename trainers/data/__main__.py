"""`python -m trainers.data`: make verified Rust (`synth`), vary what there is (`augment`), look at both (`report`)."""

import argparse
import sys

from evaluation.exit_status import exit_status
from trainers.data import command_line


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m trainers.data", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    command_line.add_synth(subcommands)
    command_line.add_report(subcommands)
    command_line.add_augment(subcommands)
    options = parser.parse_args(arguments)
    interrupted = "Interrupted." if options.command == "report" else "Interrupted; the same command continues."
    return exit_status(f"{parser.prog} {options.command}", lambda: options.run(options), interrupted)


if __name__ == "__main__":
    sys.exit(main())
