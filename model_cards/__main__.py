"""
Pack the weights of a model (`pack`), export it to GGUF (`gguf`), serve it (`serve`), try it in the terminal (`chat`),
write its model card (`card`), and publish it on the Hub (`publish`).
"""

import sys

from evaluation.exit_status import exit_status
from evaluation.options import HelpFormatter, command_parser
from model_cards.card import command_line as card_command_line
from model_cards.gguf import command_line as gguf_command_line
from model_cards.hub import command_line as hub_command_line
from model_cards.packed import command_line as packed_command_line
from model_cards.serving import command_line as serving_command_line


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; returns its exit status."""
    parser = command_parser(prog="python -m model_cards", description=__doc__.strip(), formatter_class=HelpFormatter)
    subcommands = parser.add_subparsers(dest="command", required=True)
    gguf_command_line.add_gguf(subcommands)
    packed_command_line.add_pack(subcommands)
    serving_command_line.add_serve(subcommands)
    serving_command_line.add_chat(subcommands)
    card_command_line.add_card(subcommands)
    hub_command_line.add_publish(subcommands)
    options = parser.parse_args(arguments)
    return exit_status(f"{parser.prog} {options.command}", lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
