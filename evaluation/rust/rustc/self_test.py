"""A self-test of the sandbox: attempt everything it promises to prevent on this machine, and report the outcomes."""

import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evaluation.rust.rustc.toolchain import Toolchain
from evaluation.rust.sandbox.runner import Command, Completed, Limits, Sandbox

PROBE = Path(__file__).with_name("probe.rs")
LIMITS = Limits(
    wall_seconds=2.0,
    cpu_seconds=1,
    memory_bytes=256 << 20,
    file_bytes=8 << 20,
    disk_bytes=32 << 20,
    processes=40,
    output_bytes=100_000,
)
HARMFUL = ("a fork bomb ends", "processes are limited", "threads are limited")  # if nothing limits them
ALLOWANCE = 2.0  # seconds that a machine under load may need to end an attempt after its deadline


class SelfTestFailed(RuntimeError):
    """The self-test could not be run; the message says why."""


@dataclass(frozen=True)
class Protection:
    """Outcome of one attempt against the sandbox."""

    name: str
    promised: bool
    """Whether the level of the sandbox promises this protection."""
    held: bool | None
    """Whether the protection held. None if it was not attempted, such as a fork bomb that nothing would limit."""
    observed: str


class SelfTest:
    """The attempts. Each method returns whether the protection held, and what was observed."""

    def __init__(self, toolchain: Toolchain, sandbox: Sandbox, outside: Path):
        self.sandbox = sandbox
        self.toolchain = toolchain
        self.outside = outside
        self.name = f"probe-{uuid.uuid4().hex[:12]}"
        self.program = self._build()
        self.secret = outside / "secret.txt"
        self.secret.write_text("secret")

    def _build(self) -> bytes:
        arguments = [self.toolchain.rustc, "--edition", "2021", "-A", "warnings", "-C", "debuginfo=0"]
        build = Command([*arguments, "-o", "{directory}/probe", "probe.rs"], self.toolchain.environment)
        # The sandbox returns output and no files, so the program is read from stdout.
        limits = Limits(wall_seconds=60.0, cpu_seconds=30, output_bytes=64 << 20)
        results = self.sandbox.run({"probe.rs": PROBE.read_bytes()}, [build, Command(["/bin/cat", "probe"])], limits)
        if results[-1].status != 0 or len(results) < 2:
            message = results[-1].stderr.decode("utf-8", "replace").strip()
            raise SelfTestFailed(f"the self-test's program does not build (is a C linker installed?): {message}")
        return results[1].stdout

    def probe(self, *arguments: str, limits: Limits = LIMITS) -> tuple[Completed, str]:
        """Run the probe once; return its result and the first line that it printed."""
        run = Command(["{directory}/" + self.name, *arguments])
        (completed,) = self.sandbox.run({self.name: self.program}, [run], limits, our_own=True)
        text = (completed.stdout[:200] + completed.stderr[:200]).decode("utf-8", "replace")
        return completed, text.splitlines()[0] if text else ""

    def survivors(self) -> int:
        """Return the number of processes of the probe that still run on the machine."""
        found = 0
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                found += self.name.encode() in path.read_bytes()
            except OSError:
                continue  # it has ended
        return found

    def denied(self, *arguments: str, limits: Limits = LIMITS) -> tuple[bool, str]:
        """Run an attempt that must fail with an error, or with a signal that kills the program."""
        completed, text = self.probe(*arguments, limits=limits)
        return text.startswith("denied") or completed.ended_by == "signal", text or _ending(completed)

    def ended(self, *arguments: str, limits: Limits = LIMITS) -> tuple[bool, str]:
        """Run an attempt that never ends by itself: it must be killed in time and leave no processes."""
        started = time.monotonic()
        completed, _ = self.probe(*arguments, limits=limits)
        seconds = time.monotonic() - started
        left = self.survivors()
        in_time = seconds < limits.wall_seconds + ALLOWANCE
        return (
            in_time and not left and completed.ended_by != "exit",
            f"{_ending(completed)} after {seconds:.1f} s, {left} processes left",
        )

    def orphan(self) -> tuple[bool, str]:
        completed, text = self.probe("orphan")
        left = self.survivors()
        return text.startswith("started") and not left, f"{text}, {left} processes left"

    def read_at_compile_time(self) -> tuple[bool, str]:
        source = f'pub const STOLEN: &str = include_str!("{self.secret}");'.encode()
        arguments = [self.toolchain.rustc, "--crate-type", "lib", "--emit=metadata", "source.rs"]
        (completed,) = self.sandbox.run({"source.rs": source}, [Command(arguments, self.toolchain.environment)])
        lines = completed.stderr.decode("utf-8", "replace").splitlines()
        refused = next((line for line in lines if line.startswith("error: couldn't read")), None)
        return completed.status == 1 and refused is not None, refused or "it read the file"

    def write_outside(self) -> tuple[bool, str]:
        target = self.outside / "written"
        held, text = self.denied("write", str(target))
        return held and not target.exists(), text

    def tcp(self) -> tuple[bool, str]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return self.denied("tcp", f"127.0.0.1:{server.getsockname()[1]}")

    def udp(self) -> tuple[bool, str]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(0.2)
            held, text = self.denied("udp", f"127.0.0.1:{server.getsockname()[1]}")
            try:
                return False, f"received {server.recv(10)!r}"
            except TimeoutError:
                return held, text

    def unix_socket(self) -> tuple[bool, str]:
        path = str(self.outside / "socket")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            return self.denied("unix", path)

    def environment(self) -> tuple[bool, str]:
        name = "NANOCHAT_SELF_TEST_SECRET"
        os.environ[name] = "secret"
        try:
            return self.denied("environment", name)
        finally:
            del os.environ[name]

    def memory(self) -> tuple[bool, str]:
        completed, _ = self.probe("memory", limits=LIMITS)
        peak = completed.peak_bytes >> 20
        held = completed.ended_by == "signal" and completed.peak_bytes <= LIMITS.memory_bytes
        return held, f"{_ending(completed)} at {peak} MiB"

    def directory(self) -> tuple[bool, str]:
        """Fill the directory, and wait to be killed if nothing else stops it."""
        completed, text = self.probe("files", str(LIMITS.disk_bytes >> 19))
        return text.startswith("denied") or completed.ended_by == "disk", text or _ending(completed)

    def attempts(self) -> Iterator[tuple[str, int, Callable[[], tuple[bool, str]]]]:
        """Yield for each protection its name, the level that promises it, and the attempt."""
        many = str(4 * LIMITS.processes)
        patient = Limits(**{**vars(LIMITS), "cpu_seconds": 60})
        yield "an endless loop ends (processor time)", 0, lambda: self.ended("loop")
        yield "a sleeping program ends (deadline)", 0, lambda: self.ended("sleep")
        yield "a process in a session of its own ends too", 0, self.orphan
        unless_root = 2 if self.sandbox.root else 0
        yield "processes are limited", unless_root, lambda: self.denied("processes", many)
        yield "threads are limited", unless_root, lambda: self.denied("threads", many)
        yield "a fork bomb ends", unless_root, lambda: self.ended("forkbomb", limits=patient)
        yield "memory is limited", 0, self.memory
        yield "the size of a file is limited", 0, lambda: self.denied("file")
        yield "the size of the directory is limited", 0, self.directory
        yield "output is limited", 0, lambda: self.ended("output")
        yield "the caller's environment is not visible", 0, self.environment
        yield "the compiler reads no file of the machine", 1, self.read_at_compile_time
        yield "a program reads no file of the machine", 1, lambda: self.denied("read", str(self.secret))
        yield "a program reads not even /etc/passwd", 1, lambda: self.denied("read", "/etc/passwd")
        yield "a program writes only its own directory", 1, self.write_outside
        yield "no TCP connection, not even to this machine", 1 if self.sandbox.landlock >= 4 else 2, self.tcp
        yield "no UDP packet", 2, self.udp
        yield "no socket of another process", 2, self.unix_socket
        yield (
            "no signal to another process",
            1 if self.sandbox.landlock >= 6 else 2,
            lambda: self.denied("signal", str(os.getpid())),
        )
        yield "not root", unless_root, lambda: self.denied("root")


@contextmanager
def self_test(toolchain: Toolchain, sandbox: Sandbox) -> Generator[Iterator[Protection]]:
    """
    Provide an iterator over the protections, which makes each attempt when it is reached.

    Raises:
        SelfTestFailed: The probe does not build.
    """
    with tempfile.TemporaryDirectory(prefix="rust-self-test-") as outside:
        test = SelfTest(toolchain, sandbox, Path(outside))

        def attempted():
            for name, level, attempt in test.attempts():
                promised = sandbox.level >= level
                dangerous = sandbox.root and name in HARMFUL
                held, observed = (None, "not attempted") if dangerous else attempt()
                yield Protection(name, promised, held, observed)

        yield attempted()


def _ending(completed: Completed) -> str:
    if completed.ended_by == "signal":
        return f"killed by signal {-completed.status}"
    return {
        "deadline": "killed at its deadline",
        "output": "killed for too much output",
        "disk": "killed for too large a directory",
    }.get(completed.ended_by, f"status {completed.status}")
