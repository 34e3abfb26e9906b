"""The end of every command: a status, and one line that says what is wrong where something is."""

import logging
import os
import sys
import warnings
from collections.abc import Callable

from safetensors import SafetensorError

from evaluation.rust import CodeExecutionNotAllowed, SandboxUnavailable, ToolchainUnavailable
from evaluation.rust.rustc.self_test import SelfTestFailed
from evaluation.rust.sandbox.runner import SandboxFailure
from evaluation.scoring import GoldFailed, ScoringUnavailable

USER_ERRORS = (
    ValueError,
    OSError,
    SafetensorError,
    ToolchainUnavailable,
    SandboxUnavailable,
    SandboxFailure,
    SelfTestFailed,
    CodeExecutionNotAllowed,
    GoldFailed,
    ScoringUnavailable,
)
BAD_INPUT = 2
# As a shell says it of a program that SIGINT or SIGPIPE ended.
INTERRUPTED, READER_IS_GONE = 130, 141
EXTRAS = {"gguf": "gguf", "xllamacpp": "gguf", "trackio": "track", "tensorboard": "track", "datatrove": "scale"}
"""Optional packages, and the extra of this project that installs each."""


def hint(package: str) -> str:
    """The command that installs an optional package."""
    # This project is not on the package index.
    return f'pip install -e ".[{EXTRAS[package]}]"'


def quiet_libraries() -> None:
    """Silences what libraries say of things that no user of this project can act on."""
    # About kernels for 4-bit inference, which is not used here.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # TRL sets an argument of transformers under its old name.
    warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated", FutureWarning)


def exit_status(name: str, run: Callable[[], int], interrupted: str = "Interrupted.") -> int:
    """
    Runs a command; what a user can mend is told in one line on standard error, anything else is raised.

    Args:
        name: Of the command, before the line.
        run: Returns the exit status.
        interrupted: What to say after Ctrl-C.

    Returns:
        What `run` returns; 2 after a user's error, 130 after Ctrl-C, 141 when the reader of the output has gone.
    """
    quiet_libraries()
    try:
        status = run()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # As `| head` does. The interpreter's own last flush must not fail for it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_IS_GONE
    except KeyboardInterrupt:
        # A terminal shows "^C" in the line before.
        print("\n" * sys.stderr.isatty() + interrupted, file=sys.stderr)
        return INTERRUPTED
    except USER_ERRORS as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        print(f"{name}: {error.name} is not installed: {hint(error.name)}", file=sys.stderr)
    return BAD_INPUT


def one_line(error: Exception) -> str:
    """An error in words, with the file, or the two files of a copy, where it is one of the operating system."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
        return f"{' to '.join(names)}: {error.strerror}"
    return str(error)
