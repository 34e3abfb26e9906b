"""The exit status of every command, and one line on stderr for an error that the user can fix."""

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
# As a shell reports a program that SIGINT or SIGPIPE ended.
INTERRUPTED, READER_IS_GONE = 130, 141
EXTRAS = {
    "gguf": "gguf",
    "xllamacpp": "gguf",
    "aiohttp": "gguf",
    "trackio": "track",
    "tensorboard": "track",
    "datatrove": "scale",
}
"""Optional packages, with the extra of this project that installs each."""


def hint(package: str) -> str:
    """Return the command that installs an optional package."""
    # This project is not on the package index.
    return f'pip install -e ".[{EXTRAS[package]}]"'


def quiet_libraries() -> None:
    """Silence warnings of libraries that no user of this project can act on."""
    # About kernels for 4-bit inference, which is not used here.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # TRL sets an argument of transformers under its old name.
    warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing` is deprecated", FutureWarning)


def exit_status(name: str, run: Callable[[], int], interrupted: str = "Interrupted.") -> int:
    """
    Run a command. An error that the user can fix becomes one line on stderr; any other is raised.

    Args:
        name: Name of the command, which the line begins with.
        run: Runs the command; returns the exit status.
        interrupted: Message after Ctrl-C.

    Returns:
        The status of `run`; 2 after a user's error, 130 after Ctrl-C, 141 if the reader of the output has closed it.
    """
    quiet_libraries()
    try:
        status = run()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # For example `| head`. The interpreter's last flush must not fail, too.
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
    """Return the message of an error; for one of the operating system, with its file or files."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
        return f"{' to '.join(names)}: {error.strerror}"
    return str(error)
