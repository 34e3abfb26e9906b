"""`python -m evaluation verify FILES...` and `python -m evaluation doctor`."""

import argparse
import sys

from evaluation.rust import command_line


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    command_line.add_verify(subcommands)
    command_line.add_doctor(subcommands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except command_line.USER_ERRORS as error:
        print(f"{parser.prog} {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
