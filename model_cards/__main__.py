"""
`python -m model_cards`: a model with packed weights (`pack`), for llama.cpp (`gguf`, `serve`), to try (`chat`), to
show (`card`, `publish`).
"""

import argparse
import logging
import os
import sys

from model_cards import command_line, pack_command_line, publish_command_line, serve_command_line

# As a shell says it of a program that SIGPIPE ended.
READER_IS_GONE = 141


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
    # It tells users of processors with AVX-512 about a kernel that is not used here.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # As `| head` does. The interpreter's own last flush must not fail for it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_IS_GONE
    except (ValueError, OSError) as error:
        print(f"{parser.prog} {options.command}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in ("gguf", "xllamacpp"):
            raise
        print(
            f"{parser.prog} {options.command}: {error.name} is not installed: run pip install "
            '"nanochat-ternary[gguf]"',
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
