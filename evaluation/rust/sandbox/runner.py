"""Runs compilers and programs nobody has read, so that they harm neither the machine nor the verdict.

Covered, at every level: an attempt runs in its own session and directory, with a clean environment and no input but
what the caller gives, with limits on time, memory per process, file size, open files and output; at its end, its
deadline or the caller's death every process it started is killed, also one that called setsid, and its directory is
removed.

    level  name        adds
    0      limits      the above. No protection of files or network: against accidents only.
    1      files       Landlock: reads only the toolchain and system libraries, writes only its directory; TCP denied
                       (from Landlock 4 on)
    2      isolated    user, mount, PID, IPC and network namespaces: sees nothing else of the machine's files, no
                       network at all, no other process; limits on the number of processes and the size of its
                       directory; not root

Not covered: faults of the kernel itself; memory is limited per process, not for an attempt as a whole; at level 0 and
1 the number of processes is not limited for root, UDP and sockets with a path stay reachable, and a program at level
0 may kill other processes of the same user. The processor's side channels are open at every level. For programs
written by an adversary rather than a model, use a virtual machine around all of this.
"""

import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from evaluation.rust.sandbox import messages

LEVELS = ("limits", "files", "isolated")
OPT_IN = "HF_ALLOW_CODE_EVAL"
SYSTEM_PATHS = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/nix/store",
)
DEVICES = ("/dev/null", "/dev/urandom")
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
GRACE_SECONDS = 10.0  # how long after its deadline an attempt may take to report


class SandboxUnavailable(RuntimeError):
    """The protection asked for cannot be had on this machine; the message says why."""


class SandboxFailure(RuntimeError):
    """The sandbox itself failed; nothing can be said about the program."""


class CodeExecutionNotAllowed(PermissionError):
    """A generated program was to be run without the user's consent."""


@dataclass(frozen=True)
class Limits:
    """Of one attempt; per process where it says so."""

    wall_seconds: float = 10.0
    """Deadline of the whole attempt, over all its commands."""
    cpu_seconds: int = 10
    """Processor time of each process."""
    memory_bytes: int = 4 << 30
    """Address space of each process."""
    file_bytes: int = 64 << 20
    """Size of each file written."""
    disk_bytes: int = 256 << 20
    """Size of the directory; at level 2 only."""
    processes: int = 128
    """Processes and threads together; at level 0 and 1 not for root."""
    open_files: int = 256
    output_bytes: int = 1 << 20
    """Of stdout and stderr, each; a program that writes more is ended."""

    def __post_init__(self):
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value!r}")


@dataclass(frozen=True)
class Command:
    """A program and its arguments. `{directory}` in them stands for the attempt's directory."""

    arguments: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    stdin: bytes = b""


@dataclass(frozen=True)
class Completed:
    """How a command ended."""

    status: int
    """Exit status, or minus the signal's number."""
    ended_by: Literal["exit", "signal", "deadline", "output"]
    stdout: bytes
    stderr: bytes
    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Sandbox:
    """A place to run programs in; safe to use from several threads, not from a forked child.

    Args:
        readable: files and directories programs may read and execute, besides the system's libraries.
        probe: a command that must succeed before a level is trusted.
        require: the lowest level to accept, by name or number; `"auto"` accepts any. The highest there is is taken.
        highest: the highest level to try.
        own_programs: every program that will run is text of this package: running it needs no consent.

    Raises `SandboxUnavailable` when the level cannot be had, with the kernel's reason.
    """

    def __init__(
        self,
        readable: Sequence[str | Path],
        probe: Command,
        require: str | int = "auto",
        highest: int = len(LEVELS) - 1,
        own_programs: bool = False,
    ):
        minimum = _minimum_level(require)
        if sys.platform != "linux":
            raise SandboxUnavailable(f"The sandbox needs Linux, this is {sys.platform}: run it in a Linux container.")
        self._own_programs = own_programs
        self._readable = [path for path in SYSTEM_PATHS if os.path.exists(path)]
        self._readable += [path for path in map(str, readable) if not Path(path).is_relative_to("/usr")]
        self._lock = threading.Lock()
        self._attempts: set[socket.socket] = set()
        self.reasons: dict[str, str] = {}
        """Why each higher level could not be had."""
        for level in range(highest, minimum - 1, -1):
            # At level 2 the server stops being root by itself; below, only if others than root can read the compiler.
            for nobody in (True, False) if os.geteuid() == 0 and level < 2 else (False,):
                self.level, self._nobody = level, nobody
                try:
                    self._start()
                    completed = self.run({}, [probe])[0]
                    if completed.status == 0:
                        return
                    raise SandboxFailure(f"{probe.arguments[0]} does not run in it: {completed.stderr.decode()}")
                except SandboxFailure as failure:
                    self.reasons[LEVELS[level]] = str(failure)
                self.close()
        reasons = "; ".join(f"level {name}: {reason.strip()}" for name, reason in self.reasons.items())
        raise SandboxUnavailable(f"The sandbox level asked for, {require}, cannot be had here. {reasons}")

    def _start(self):
        """Starts the server that forks for every attempt."""
        folder = str(Path(__file__).parent)
        start = f"import sys; sys.path.append({folder!r}); import server; server.main()"
        # At level 2 attempts live in memory instead.
        self._base = None if self.level == 2 else tempfile.mkdtemp(prefix="rust-sandbox-")
        if self._nobody:
            os.chmod(self._base, 0o711)
        self._control, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", start],
                env=ENVIRONMENT,
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        settings = {
            "level": self.level,
            "nobody": self._nobody,
            "base": self._base,
            "readable": self._readable,
            "devices": DEVICES,
            "environment": ENVIRONMENT,
        }
        try:
            messages.send(self._control, settings)
            answer, _ = messages.receive(self._control)
        except (OSError, EOFError) as error:
            raise SandboxFailure(f"the sandbox's server does not start: {error}") from error
        if answer["error"]:
            raise SandboxFailure(answer["error"])
        self.landlock: int = answer["landlock"]
        """Version of the Landlock rules in force; 0 for none."""

    @property
    def root(self) -> bool:
        """Whether programs run as root: then the number of processes is not limited."""
        return self.level < 2 and os.geteuid() == 0 and not self._nobody

    def close(self):
        """Ends every attempt, and the server."""
        with self._lock:
            for connection in self._attempts:
                connection.shutdown(socket.SHUT_RDWR)
        self._stop()

    def _stop(self):
        self._control.close()
        self._server.wait()
        if self._base:
            shutil.rmtree(self._base, ignore_errors=True)

    def run(
        self,
        files: dict[str, bytes],
        commands: Sequence[Command],
        limits: Limits | None = None,
        *,
        our_own: bool = False,
    ) -> list[Completed]:
        """One attempt: writes the files into a new directory, where they may be executed, and runs the commands there
        until one fails.

        A program of the directory itself, `{directory}/...`, counts as generated code unless `our_own` says that its
        source is part of this package: it runs only with `HF_ALLOW_CODE_EVAL=1` in the environment, otherwise
        `CodeExecutionNotAllowed` is raised and nothing is run. Raises `SandboxFailure` when the sandbox fails, for
        example on a full disk; how the programs end is in the results instead.
        """
        limits = limits or Limits()
        for name in files:
            if name in ("", ".", "..") or "/" in name:
                raise ValueError(f"file names must have no directory in them, got {name!r}")
        our_own = our_own or self._own_programs
        if not our_own and any(command.arguments[0].startswith("{directory}") for command in commands):
            require_consent()
        ours, theirs = socket.socketpair()
        with ours:
            with theirs, self._lock:
                try:
                    socket.send_fds(self._control, [b"x"], [theirs.fileno()])
                except OSError:  # the server was killed, or closed
                    self._stop()
                    self._start()
                    socket.send_fds(self._control, [b"x"], [theirs.fileno()])
                self._attempts.add(ours)
            ours.settimeout(limits.wall_seconds + GRACE_SECONDS)
            request = {
                "files": list(files),
                "limits": _limits_for_the_server(limits),
                "commands": [{"arguments": list(c.arguments), "environment": c.environment} for c in commands],
            }
            try:
                messages.send(ours, request, [*files.values(), *(command.stdin for command in commands)])
                answer, blobs = messages.receive(ours)
            except TimeoutError as error:
                raise SandboxFailure(f"no answer {GRACE_SECONDS:.0f} s after the deadline") from error
            except (OSError, EOFError) as error:
                reason = "the sandbox was closed, or its own process was killed, perhaps for lack of memory"
                raise SandboxFailure(reason) from error
            finally:
                with self._lock:
                    self._attempts.discard(ours)
        if "error" in answer:
            raise SandboxFailure(answer["error"])
        outputs = zip(blobs[::2], blobs[1::2], strict=True)
        return [
            Completed(stdout=stdout, stderr=stderr, **result)
            for result, (stdout, stderr) in zip(answer["results"], outputs, strict=True)
        ]


def is_execution_allowed() -> bool:
    """Whether the user has allowed programs that a model wrote to run."""
    return os.environ.get(OPT_IN) == "1"


def require_consent(programs: str = "programs that a model wrote"):
    """Raises `CodeExecutionNotAllowed` unless `HF_ALLOW_CODE_EVAL` is `1`, the convention of `evaluate`'s
    code_eval.
    """
    if os.environ.get(OPT_IN) != "1":
        raise CodeExecutionNotAllowed(
            f"This runs {programs}. They are confined (see `python -m evaluation doctor`), but no "
            f"sandbox is perfect. If you accept that, set the environment variable {OPT_IN}=1 and start again."
        )


def _minimum_level(require: str | int) -> int:
    if require == "auto":
        return 0
    if require in LEVELS:
        return LEVELS.index(require)
    if isinstance(require, int) and not isinstance(require, bool) and 0 <= require < len(LEVELS):
        return require
    raise ValueError(f"sandbox must be auto, {', '.join(LEVELS)} or 0 to {len(LEVELS) - 1}, got {require!r}")


def _limits_for_the_server(limits: Limits) -> dict:
    resources = {
        "cpu": limits.cpu_seconds,
        "as": limits.memory_bytes,
        "fsize": limits.file_bytes,
        "nproc": limits.processes,
        "nofile": limits.open_files,
        "core": 0,
    }
    return {
        "wall_seconds": limits.wall_seconds,
        "disk_bytes": limits.disk_bytes,
        "output_bytes": limits.output_bytes,
        "resources": resources,
    }
