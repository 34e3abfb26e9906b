"""`python -m evaluation`: `run` a benchmark, `compare` two results, `verify` files, look at the machine (`doctor`)."""

import argparse
import logging
import os
import sys

from evaluation import command_line
from evaluation.rust import command_line as rust_command_line
from evaluation.scoring import GoldFailed, ScoringUnavailable

# As a shell says it of a program that SIGPIPE ended.
READER_IS_GONE = 141


def main(arguments: list[str] | None = None) -> int:
    """Runs one subcommand; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    command_line.add_run(subcommands)
    command_line.add_compare(subcommands)
    rust_command_line.add_verify(subcommands)
    rust_command_line.add_doctor(subcommands)
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
    except (*rust_command_line.USER_ERRORS, GoldFailed, ScoringUnavailable) as error:
        print(f"{parser.prog} {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
