"""One vocabulary of command-line options, and help that says every default; without PyTorch."""

import argparse
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

Options = argparse.ArgumentParser | argparse._ArgumentGroup
"""A parser, or one of the groups in its help."""
RunCommand = Callable[[argparse.Namespace], int]


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """
    Adds "(default: ...)" to the help of each option that has one. Where the default is None, the option's own text
    says what happens then, as in "(default: all)".
    """

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        silent = action.default is None or isinstance(action.default, bool) or action.default is argparse.SUPPRESS
        if not text or silent or "(default:" in text or not (action.option_strings or action.nargs):
            return text
        if isinstance(action.default, list):
            return text if not action.default else f"{text} (default: {' '.join(map(str, action.default))})"
        return text + " (default: %(default)s)"


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one line; a usage of all options would hide what is wrong."""

    def parse_known_args(self, *arguments: Any, **options: Any) -> tuple[Any, list[str]]:
        # argparse would leave it to the program's parser, which does not know the command.
        namespace, unknown = super().parse_known_args(*arguments, **options)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.error_line(message)}\n")

    def error_line(self, message: str) -> str:
        """The line for an error in the options."""
        return f"{self.prog}: {message} (see --help)"


def command_parser(**options: Any) -> argparse.ArgumentParser:
    """Return a `CommandParser`, for functions that add subcommands to any parser; `options` are argparse's."""
    return CommandParser(**options)


def _unless_absent(type: Callable[[str], Any]) -> Callable[[str], Any]:
    """Leave the default of an absent positional argument as it is; argparse converts it like a given one."""

    @wraps(type, updated=())
    def convert(text: str) -> Any:
        return text if text == argparse.SUPPRESS else type(text)

    return convert


class _FormerName(argparse.Action):
    """A former way to give an option: still accepted, never listed."""

    def __init__(self, option_strings, dest, present: argparse.Action, **_):
        nargs = present.nargs if option_strings else "?"
        type = present.type if option_strings or present.type is None else _unless_absent(present.type)
        super().__init__(option_strings, dest, nargs, type=type, choices=present.choices)
        self.present, self.help, self.default = present, argparse.SUPPRESS, argparse.SUPPRESS

    def __call__(self, parser, namespace, values, option_string=None):
        # A positional one that is absent comes with its default, converted to its type.
        if str(values) == argparse.SUPPRESS:
            return
        given = option_string or f"an argument without a name ({values})"
        print(f"{given} is now given as {self.present.option_strings[0]}", file=sys.stderr)
        self.present(parser, namespace, values, option_string)
        self.present.required = False


def add_former_name(parser: Options, name: str, present: argparse.Action) -> None:
    """
    Accept the former name of an option, with a line on stderr that says the present one.

    Args:
        parser: Of the command.
        name: The former option, such as "--out"; without dashes a former positional argument.
        present: The option it is now.
    """
    if name.startswith("-"):
        parser.add_argument(name, action=_FormerName, dest=f"former {name}", present=present)
    else:
        parser.add_argument(f"former {name}", action=_FormerName, present=present)


def add_command(
    subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: RunCommand,
    help: str,
    description: str,
) -> argparse.ArgumentParser:
    """
    Add a subcommand.

    Args:
        subcommands: Result of `add_subparsers` of the command it belongs to.
        name: Word that selects it.
        run: Called with the parsed options; returns the exit status. Imports PyTorch itself if it needs it.
        help: One line in the list of commands.
        description: Sentences at the head of its own `--help`.
    """
    parser = subcommands.add_parser(name, help=help, description=description, formatter_class=HelpFormatter)
    parser.set_defaults(run=run)
    return parser


def add_model(parser: Options, help: str = "folder of a saved model, or its name on the Hub"):
    """Add the required option `--model`."""
    return parser.add_argument("--model", required=True, help=help)


def add_output_dir(parser: Options, help: str, default: Path | None = None):
    """Add the option `--output-dir`, a folder to write into; required where it has no default."""
    return parser.add_argument("--output-dir", type=Path, default=default, required=default is None, help=help)


def add_num_loops(parser: Options):
    """Add the option `--num-loops`."""
    return parser.add_argument("--num-loops", type=int, help="loops of a LoopLM (default: the model's own number)")


def add_seed(parser: Options, help: str = "seed of the sampling"):
    """Add the option `--seed`."""
    return parser.add_argument("--seed", type=int, default=0, help=help)
