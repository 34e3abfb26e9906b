"""
`python -m trainers.data`: generate Rust (`synth`), write variants of code (`augment`), compare files (`report`), and
download crates (`fetch`).
"""

import argparse
import sys

from evaluation.exit_status import exit_status
from trainers.data import command_line, sources_command


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m trainers.data", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    command_line.add_synth(subcommands)
    command_line.add_augment(subcommands)
    command_line.add_report(subcommands)
    sources_command.add_fetch(subcommands)
    options = parser.parse_args(arguments)
    interrupted = "Interrupted." if options.command == "report" else "Interrupted; run the same command to continue."
    return exit_status(f"{parser.prog} {options.command}", lambda: options.run(options), interrupted)


if __name__ == "__main__":
    sys.exit(main())
