"""
`python -m model_cards`: a model with packed weights (`pack`), for llama.cpp (`gguf`, `serve`), to try (`chat`), to
show (`card`, `publish`).
"""

import argparse
import sys

from evaluation.exit_status import exit_status
from model_cards import command_line, pack_command_line, publish_command_line, serve_command_line


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m model_cards", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    command_line.add_gguf(subcommands)
    pack_command_line.add_pack(subcommands)
    serve_command_line.add_serve(subcommands)
    serve_command_line.add_chat(subcommands)
    publish_command_line.add_card(subcommands)
    publish_command_line.add_publish(subcommands)
    options = parser.parse_args(arguments)
    return exit_status(f"{parser.prog} {options.command}", lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
