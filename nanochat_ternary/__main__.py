"""`nanochat-ternary`, or `python -m nanochat_ternary`: every command of the project."""

import argparse
import sys
from collections.abc import Mapping

from evaluation.exit_status import exit_status
from evaluation.options import HelpFormatter, command_parser
from nanochat_ternary.commands import COMMANDS, Command, Group

PROGRAM = "nanochat-ternary"
DESCRIPTION = "Train, verify, evaluate and publish ternary looped language models that write Rust that compiles."


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    parser = command_parser(prog=PROGRAM, description=DESCRIPTION, formatter_class=HelpFormatter)
    add_commands(parser, COMMANDS, words)
    options = parser.parse_args(words)
    return exit_status(" ".join([PROGRAM, *chosen(words)]), lambda: options.run(options))


def add_commands(parser: argparse.ArgumentParser, commands: Mapping[str, Command | Group], words: list[str]) -> None:
    """
    Add commands to a parser.

    Only the one that is asked for gets its options, because their modules take time to import; the others are listed.

    Args:
        parser: Of the program, or of a group.
        commands: By name.
        words: Of the command line, from the command's name on.
    """
    subcommands = parser.add_subparsers(metavar="COMMAND", required=True)
    asked = words[0] if words else None
    for name, entry in commands.items():
        if name != asked:
            subcommands.add_parser(name, help=entry.help)
        elif isinstance(entry, Group):
            group = subcommands.add_parser(name, help=entry.help, description=f"{entry.help.capitalize()}.")
            add_commands(group, entry.commands, words[1:])
        else:
            entry.add(subcommands)


def chosen(words: list[str]) -> list[str]:
    """The names of the group and the command that a command line asks for."""
    first = COMMANDS.get(words[0])
    return words[:2] if isinstance(first, Group) else words[:1]


if __name__ == "__main__":
    sys.exit(main())
