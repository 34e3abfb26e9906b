"""Evaluate models (run, compare, report), verify Rust files, and check this machine (doctor)."""

import sys

from evaluation import command_line
from evaluation.exit_status import exit_status
from evaluation.options import command_parser
from evaluation.rust import command_line as rust_command_line


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; return its exit status."""
    parser = command_parser(prog="python -m evaluation", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    command_line.add_run(subcommands)
    command_line.add_compare(subcommands)
    command_line.add_report(subcommands)
    rust_command_line.add_verify(subcommands)
    rust_command_line.add_doctor(subcommands)
    options = parser.parse_args(arguments)
    return exit_status(f"{parser.prog} {options.command}", lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
