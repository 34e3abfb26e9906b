"""
Run compilers and untrusted programs without harm to the machine or to the verdict.

At every level an attempt, which is one or more commands, runs in its own session and directory, with a clean
environment and no input other than the caller's, and with limits on time, memory per process, file size, size of the
directory, open files and output. When it ends, at its deadline, or when the caller dies, every process it started is
killed, including those that called setsid, and its directory is removed.

    level  name        adds
    0      limits      the above. Files and network are not protected: against accidents only.
    1      files       Landlock: reads only the toolchain and system libraries, writes only its directory; no TCP
                       (since Landlock ABI 4)
    2      isolated    user, mount, PID, IPC and network namespaces: no other files, no network, no other processes;
                       limit on the number of processes; the directory is in memory, of fixed size; not root

Not covered: kernel bugs; memory is limited per process, not per attempt; at levels 0 and 1 the number of processes is
not limited for root, UDP and UNIX sockets stay reachable, and the directory, which is measured several times a second,
may outgrow its limit for a moment and more by files that are deleted and still open; at level 0 a program may kill
other processes of the same user. Side channels of the processor are open at every level. Against an adversary rather
than a model, add a virtual machine.
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
GRACE_SECONDS = 10.0  # an attempt may report this long after its deadline


class SandboxUnavailable(RuntimeError):
    """This machine does not support the protection asked for; the message says why."""


class SandboxFailure(RuntimeError):
    """The sandbox itself failed, which says nothing about the program."""


class CodeExecutionNotAllowed(PermissionError):
    """Running a generated program needs the user's consent, which is missing."""


@dataclass(frozen=True)
class Limits:
    """
    Limits of one attempt.

    Raises:
        ValueError: A limit is not positive and finite.
    """

    wall_seconds: float = 10.0
    """Deadline of all commands of the attempt together."""
    cpu_seconds: int = 10
    """Processor time of each process."""
    memory_bytes: int = 4 << 30
    """Address space of each process."""
    file_bytes: int = 64 << 20
    """Size of each written file."""
    disk_bytes: int = 256 << 20
    """Size of the directory. At levels 0 and 1 an attempt that outgrows it is killed."""
    processes: int = 128
    """Number of processes and threads together; not limited for root at levels 0 and 1."""
    open_files: int = 256
    output_bytes: int = 1 << 20
    """Size of stdout, and of stderr. A program that writes more is killed."""

    def __post_init__(self):
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value!r}")


@dataclass(frozen=True)
class Command:
    """A program and its arguments, in which `{directory}` stands for the directory of the attempt."""

    arguments: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    wall_seconds: float | None = None
    """Deadline of this command; None for that of the attempt only."""
    may_fail: bool = False
    """Whether the commands behind it run even if it fails. They do not run if it reaches a limit of time, output or
    disk.
    """


@dataclass(frozen=True)
class Completed:
    """Result of a command."""

    status: int
    """Exit status, or minus the number of the signal that killed it."""
    ended_by: Literal["exit", "signal", "deadline", "output", "disk"]
    stdout: bytes
    stderr: bytes
    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Sandbox:
    """
    Run programs with the highest protection that the machine supports. Thread-safe, but not usable after a fork.

    Args:
        readable: Files and directories that programs may read and execute, in addition to the system's libraries.
        probe: Command that must succeed at a level before the level is used.
        require: Lowest level to accept, by name or number; `"auto"` accepts any.
        highest: Highest level to try.
        own_programs: All programs are part of this package and need no consent.

    Attributes:
        level: The level in use, from 0 to 2.
        reasons: For each higher level, why it is not in use.
        landlock: Version of the Landlock rules in use; 0 for none.

    Raises:
        ValueError: `require` is no level.
        SandboxUnavailable: The level asked for is not supported; the message has the kernel's reason.
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
        for level in range(highest, minimum - 1, -1):
            # At level 2 the server always gives up root; below, only if other users can read the compiler.
            for nobody in (True, False) if os.geteuid() == 0 and level < 2 else (False,):
                self.level, self._nobody = level, nobody
                try:
                    self._start()
                    completed = self.run({}, [probe])[0]
                    if completed.status == 0:
                        return
                    raise SandboxFailure(f"{probe.arguments[0]} does not run at it: {completed.stderr.decode()}")
                except SandboxFailure as failure:
                    self.reasons[LEVELS[level]] = str(failure)
                self.close()
        reasons = "; ".join(f"level {name}: {reason.strip()}" for name, reason in self.reasons.items())
        raise SandboxUnavailable(f"This machine does not support the sandbox level asked for, {require}. {reasons}")

    def _start(self):
        """Start the server that forks for every attempt."""
        folder = str(Path(__file__).parent)
        start = f"import sys; sys.path.append({folder!r}); import server; server.main()"
        # At level 2 the directories of attempts are in memory instead.
        self._base = None if self.level == 2 else tempfile.mkdtemp(prefix="rust-sandbox-")
        if self._base is not None and self._nobody:
            os.chmod(self._base, 0o711)
        self._control, servers_end = socket.socketpair()
        with servers_end:
            self._server = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", start],
                env=ENVIRONMENT,
                stdin=servers_end.fileno(),
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
            raise SandboxFailure(f"the server of the sandbox does not start: {error}") from error
        if answer["error"]:
            raise SandboxFailure(answer["error"])
        self.landlock: int = answer["landlock"]

    @property
    def root(self) -> bool:
        """Whether programs run as root, which leaves the number of processes unlimited."""
        return self.level < 2 and os.geteuid() == 0 and not self._nobody

    def close(self):
        """Stop every attempt and the server."""
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
        read_only: bool = False,
    ) -> list[Completed]:
        """
        Run one attempt: write files into a new directory and run commands there until one fails that may not.

        A program in the directory (`{directory}/...`) counts as generated code, which runs only with
        `HF_ALLOW_CODE_EVAL=1` in the environment.

        Args:
            files: Contents by file name. All of them may be executed.
            commands: Commands to run, one after the other.
            limits: Limits of the attempt; the default ones of `Limits` if None.
            our_own: The programs in the directory are part of this package and need no consent.
            read_only: The commands cannot write to the directory, so that none leaves anything for the next one. At
                level 0 they can.

        Returns:
            The results of the commands that were run. A failed program is a result, not an error.

        Raises:
            ValueError: A file name has a directory in it.
            CodeExecutionNotAllowed: Consent is missing. Nothing is run.
            SandboxFailure: The sandbox failed, for example because the disk is full.
        """
        limits = limits or Limits()
        for name in files:
            if name in ("", ".", "..") or "/" in name:
                raise ValueError(f"file names must have no directory in them, got {name!r}")
        our_own = our_own or self._own_programs
        if not our_own and any(command.arguments[0].startswith("{directory}") for command in commands):
            require_consent()
        ours, servers_end = socket.socketpair()
        with ours:
            with servers_end, self._lock:
                try:
                    socket.send_fds(self._control, [b"x"], [servers_end.fileno()])
                except OSError:  # the server was killed, or closed
                    self._stop()
                    self._start()
                    socket.send_fds(self._control, [b"x"], [servers_end.fileno()])
                self._attempts.add(ours)
            ours.settimeout(limits.wall_seconds + GRACE_SECONDS)
            request = {
                "files": list(files),
                "limits": _limits_for_the_server(limits),
                "read_only": read_only,
                "commands": [
                    {
                        "arguments": list(command.arguments),
                        "environment": command.environment,
                        "wall_seconds": command.wall_seconds,
                        "may_fail": command.may_fail,
                    }
                    for command in commands
                ],
            }
            try:
                messages.send(ours, request, [*files.values(), *(command.stdin for command in commands)])
                answer, blobs = messages.receive(ours)
            except TimeoutError as error:
                raise SandboxFailure(f"no answer {GRACE_SECONDS:.0f} s after the deadline") from error
            except (OSError, EOFError) as error:
                reason = "the sandbox was closed, or its server was killed, perhaps for lack of memory"
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
    """
    Check the user's consent to run generated programs, by the convention of `code_eval` in Hugging Face's `evaluate`.

    Args:
        programs: The programs in words, for the message.

    Raises:
        CodeExecutionNotAllowed: The environment variable `HF_ALLOW_CODE_EVAL` is not `1`.
    """
    if os.environ.get(OPT_IN) != "1":
        raise CodeExecutionNotAllowed(
            f"This runs {programs}. They are confined (see `nanochat-ternary doctor`), but no "
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
