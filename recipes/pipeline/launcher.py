"""The end of a process of a run, and of accelerate's launcher above it."""

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from evaluation.exit_status import BAD_INPUT


def end_run(message: str, status: int) -> NoReturn:
    """End this process with a line on stderr, from the main process alone, and the launcher without a traceback."""
    import psutil

    if os.environ.get("RANK", "0") == "0":
        print(message, file=sys.stderr, flush=True)
    launcher = psutil.Process().parent()
    command = launcher.cmdline() if launcher is not None else []
    if launcher is not None and "launch" in command and any(Path(part).name == "accelerate" for part in command):
        # It would print a traceback of its own, which says nothing but that this process ended with an error.
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            launcher.send_signal(signal.SIGTERM)
        elif status == BAD_INPUT:
            # All processes end alike; the launcher of several catches every gentler signal.
            launcher.send_signal(signal.SIGKILL)
    sys.exit(status)
