"""
`python -m model_cards`: a model with packed weights (`pack`), for llama.cpp (`gguf`, `serve`), to try (`chat`), to
show (`card`, `publish`).
"""

import argparse
import sys

from evaluation.exit_status import exit_status
from model_cards import pack_command_line
from model_cards.gguf import command_line as gguf_command_line
from model_cards.hub import command_line as hub_command_line
from model_cards.serving import command_line as serving_command_line


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m model_cards", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    gguf_command_line.add_gguf(subcommands)
    pack_command_line.add_pack(subcommands)
    serving_command_line.add_serve(subcommands)
    serving_command_line.add_chat(subcommands)
    hub_command_line.add_card(subcommands)
    hub_command_line.add_publish(subcommands)
    options = parser.parse_args(arguments)
    return exit_status(f"{parser.prog} {options.command}", lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
