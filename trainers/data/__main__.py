"""`python -m trainers.data`: make verified Rust (`synth`), vary what there is (`augment`), look at both (`report`)."""

import argparse
import sys

from evaluation.rust.command_line import USER_ERRORS
from trainers.data import command_line


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m trainers.data", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    command_line.add_synth(subcommands)
    command_line.add_report(subcommands)
    command_line.add_augment(subcommands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except USER_ERRORS as error:
        print(f"{parser.prog} {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the same command continues.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
