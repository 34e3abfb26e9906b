"""
The process that runs programs for `runner.Sandbox`: it starts once and forks for every attempt.

    client --attempt--> server --fork--> supervisor --fork--> keeper --fork, exec--> the program
                                         (new namespaces)     (process 1 in them)

A small process forks in a millisecond and without danger; a caller with threads and a model in memory does not. The
keeper owns the attempt: its directory, deadline and output. It kills everything when the caller's end of the
connection closes, so that a caller that is killed leaves nothing running. In a PID namespace the kernel kills every
process when the keeper, process 1, ends.

It imports only the standard library, and its neighbors by their bare names, because it runs without site-packages.
"""

import contextlib
import math
import os
import select
import signal
import socket
import tempfile
import time

import isolation  # ty: ignore[import-not-found]  # by its bare name: see above
from messages import receive, send  # ty: ignore[import-not-found]

WORK = "/nanochat-attempt"  # directory of an attempt at level 2, in a root of its own: a name that no machine has
CHUNK = 1 << 16
MEASURE_SECONDS = 0.25  # between two measurements of a directory's size at levels 0 and 1
MEASURE_SHARE = 0.05  # share of the time that they may take


class CallerGone(Exception):
    """The caller has closed the connection and does not wait for the result."""


class Keeper:
    """Run the commands of one attempt one after the other, in one directory and under one deadline."""

    def __init__(self, connection: socket.socket, settings: dict):
        self.connection = connection
        self.settings = settings
        self.namespaces = settings["level"] == 2
        self.wakeup_reader, wakeup_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)

    def attempt(self):
        """Serve one request: read it, run its commands, send the results, clean up."""
        request, contents = receive(self.connection)
        self.limits = request["limits"]
        self.read_only = request["read_only"]
        self.deadline = time.monotonic() + self.limits["wall_seconds"]
        results, blobs = [], []
        with self.directory() as directory:
            self.work = directory
            names, commands = request["files"], request["commands"]
            for name, content in zip(names, contents[: len(names)], strict=True):
                with open(os.path.join(directory, name), "wb") as file:
                    file.write(content)
                    os.fchmod(file.fileno(), 0o700)
                if self.settings["nobody"]:
                    os.chown(file.name, isolation.NOBODY, isolation.NOBODY)
            if self.namespaces and self.read_only:
                isolation.make_read_only(directory)
            for command, stdin in zip(commands, contents[len(names) :], strict=True):
                result, stdout, stderr = self.run(command, stdin, directory)
                results.append(result)
                blobs += [stdout, stderr]
                failed = result["ended_by"] != "exit" or result["status"] != 0
                if failed and (not command["may_fail"] or self.reached_limit(result)):
                    break
        send(self.connection, {"results": results}, blobs)

    def reached_limit(self, result: dict) -> bool:
        """Whether a command ended at a limit, as the next one might."""
        used_up = result["cpu_seconds"] >= self.limits["resources"]["cpu"]
        return result["ended_by"] not in ("exit", "signal") or result["status"] == -signal.SIGXCPU or used_up

    @contextlib.contextmanager
    def directory(self):
        """Provide a temporary directory; at level 2 in memory, with a limited size."""
        if self.namespaces:
            isolation.mount_own_proc()
            options = f"mode=700,size={self.limits['disk_bytes']}"
            isolation.mount("work", WORK, "tmpfs", isolation.MS_NOSUID | isolation.MS_NODEV, options)
            yield WORK
            return
        directory = tempfile.mkdtemp(prefix="attempt-", dir=self.settings["base"])
        if self.settings["nobody"]:
            os.chown(directory, isolation.NOBODY, isolation.NOBODY)
        try:
            yield directory
        finally:
            self.kill_everything(None)
            remove(directory)

    def run(self, command: dict, stdin: bytes, directory: str) -> tuple[dict, bytes, bytes]:
        """Run one program until it and all its descendants have ended."""
        started = time.monotonic()
        (out, out_writer), (err, err_writer), (failure, failure_writer) = (os.pipe2(os.O_CLOEXEC) for _ in range(3))
        program = os.fork()
        if program == 0:
            try:
                self.become(command, stdin, directory, out_writer, err_writer)
            except BaseException as error:
                os.write(failure_writer, f"{type(error).__name__}: {error}".encode())
            os._exit(127)
        for descriptor in (out_writer, err_writer, failure_writer):
            os.close(descriptor)
        outputs = {out: bytearray(), err: bytearray()}
        try:
            deadline = min(self.deadline, started + (command["wall_seconds"] or math.inf))
            ended_by, status, usage = self.watch(program, outputs, deadline)
        finally:
            self.kill_everything(program)
        problem = os.read(failure, CHUNK)
        for descriptor in (out, err):
            os.set_blocking(descriptor, False)
            self.drain(descriptor, outputs[descriptor])
        for descriptor in (out, err, failure):
            os.close(descriptor)
        if problem:
            raise OSError(f"cannot start {command['arguments'][0]}: {problem.decode()}")
        code = os.waitstatus_to_exitcode(status)
        result = {
            "status": code,
            "ended_by": ended_by if ended_by != "exit" or code >= 0 else "signal",
            "seconds": time.monotonic() - started,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_bytes": usage.ru_maxrss * 1024,
        }
        limit = self.limits["output_bytes"]
        return result, bytes(outputs[out][:limit]), bytes(outputs[err][:limit])

    def become(self, command: dict, stdin: bytes, directory: str, out: int, err: int):
        """In the forked child, apply the limits and protections and execute the program."""
        os.setsid()
        for source, target in ((input_of(stdin), 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        # Python ignores some of these signals, and a program would inherit that.
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(directory)
        os.umask(0o077)
        if self.settings["nobody"]:
            isolation.become_nobody()
        resources = dict(self.limits["resources"])
        if not self.namespaces:
            resources["nproc"] += isolation.processes_of(os.getuid())
        isolation.limit_resources(resources)
        isolation.forbid_new_privileges()
        if self.settings["landlock"]:
            proc = ["/proc"] if self.namespaces else []
            readable, writable = self.settings["readable"] + proc, list(self.settings["devices"])
            (readable if self.read_only else writable).append(directory)
            isolation.landlock(readable, writable)
        environment = {
            "HOME": directory,
            "TMPDIR": directory,
            **self.settings["environment"],
            **command["environment"],
        }
        arguments = [argument.replace("{directory}", directory) for argument in command["arguments"]]
        os.execve(arguments[0], arguments, environment)

    def watch(self, program: int, outputs: dict[int, bytearray], deadline: float):
        """
        Wait for the end of the program, which is killed at the deadline, or for too much output or too large a
        directory. At level 2 the directory cannot grow beyond its limit.

        Returns:
            How it ended ("exit", "deadline", "output" or "disk"), its wait status and its resource usage.

        Raises:
            CallerGone: The caller closed the connection.
        """
        poll = select.poll()
        for descriptor in (*outputs, self.wakeup_reader):
            poll.register(descriptor, select.POLLIN)
        poll.register(self.connection, select.POLLRDHUP)
        ended_by = None
        measure_at = math.inf if self.namespaces else time.monotonic() + MEASURE_SECONDS
        while True:
            while True:  # includes orphans that became children of this process
                try:
                    pid, status, usage = os.wait4(-1, os.WNOHANG)
                except ChildProcessError:
                    raise AssertionError("the program ended without a status") from None
                if pid == program:
                    return ended_by or "exit", status, usage
                if pid == 0:
                    break
            remaining = deadline - time.monotonic()
            if ended_by is None and remaining <= 0:
                ended_by = "deadline"
            if ended_by is None and time.monotonic() >= measure_at:
                started = time.monotonic()
                if size_of(self.work) > self.limits["disk_bytes"]:
                    ended_by = "disk"
                now = time.monotonic()
                measure_at = now + max(MEASURE_SECONDS, (now - started) / MEASURE_SHARE)
            if ended_by:
                # Its other processes may go on writing until it is reaped.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(program, signal.SIGKILL)
                os.kill(program, signal.SIGKILL)
            waiting = 1.0 if ended_by else max(min(remaining, measure_at - time.monotonic()), 0)
            for descriptor, event in poll.poll(waiting * 1000 + 1):
                if descriptor == self.connection.fileno():
                    raise CallerGone
                if descriptor == self.wakeup_reader:
                    os.read(self.wakeup_reader, CHUNK)
                elif event & select.POLLIN:
                    outputs[descriptor] += os.read(descriptor, CHUNK)
                    if len(outputs[descriptor]) > self.limits["output_bytes"]:
                        ended_by = ended_by or "output"
                        poll.unregister(descriptor)
                else:
                    poll.unregister(descriptor)

    def drain(self, descriptor: int, output: bytearray):
        """Read the rest of a finished program's output from the pipe."""
        while len(output) <= self.limits["output_bytes"]:
            try:
                part = os.read(descriptor, CHUNK)
            except BlockingIOError:
                return
            if not part:
                return
            output += part

    def kill_everything(self, program: int | None):
        """Kill all processes of the attempt and wait for them."""
        if not self.namespaces:
            kill_descendants(program)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()


def input_of(stdin: bytes) -> int:
    """Return a file descriptor from which these bytes can be read."""
    if not stdin:
        return os.open("/dev/null", os.O_RDONLY)
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(stdin)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def kill_descendants(group: int | None):
    """Kill all descendants of this process, repeatedly until none is left: each may fork before it dies."""
    if group is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        for process in isolation.descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.001)


def size_of(directory: str) -> int:
    """
    Return the bytes that the files of a directory occupy on the disk.

    Files that were deleted and are still open are not seen, and neither is what a locked directory holds.
    """
    total, waiting = 0, [directory]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    try:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                    except OSError:
                        continue  # it has been removed
        except OSError:
            continue  # removed, locked, or nested too deeply for a path
    return total


def remove(directory: str):
    """Remove a directory that programs may have nested deeply or made inaccessible."""
    for command in (["chmod", "-R", "u+rwx", directory], ["rm", "-rf", directory]):
        os.spawnvp(os.P_WAIT, command[0], command)


def supervise(connection: socket.socket, settings: dict, proc: int):
    """Run one attempt from start to end; called in a process of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    isolation.adopt_orphans()
    try:
        if settings["level"] == 2:
            others = isolation.CLONE_NEWPID | isolation.CLONE_NEWNS | isolation.CLONE_NEWIPC
            isolation.enter_user_namespace(others, proc)
    except OSError as error:
        send(connection, {"error": str(error)})
        return
    keeper = os.fork()
    if keeper == 0:
        isolation.die_with_parent(signal.SIGKILL)
        isolation.adopt_orphans()
        try:
            Keeper(connection, settings).attempt()
        except (CallerGone, EOFError, BrokenPipeError):
            pass
        except OSError as error:
            send(connection, {"error": str(error)})
        return
    os.waitpid(keeper, 0)
    if settings["level"] < 2:
        kill_descendants(None)


def main():
    """Read the settings, then serve one attempt per connection until the caller closes the control socket."""
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), 0)  # no descriptor below 3 may be reused
    settings, _ = receive(control)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller handles Ctrl-C
    try:
        landlock = isolation.landlock_version()
        settings["landlock"] = settings["level"] >= 1 and landlock > 0
        if settings["level"] == 1 and not landlock:
            raise OSError("this kernel has no Landlock, or it is not enabled")
        isolation.prefer_as_victim()
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if settings["level"] == 2:
            isolate(settings, proc)
    except OSError as error:
        send(control, {"error": str(error)})
        return
    send(control, {"error": None, "landlock": landlock if settings["landlock"] else 0})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps finished supervisors
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            break
        # A program that inherited its connection could answer in the keeper's place.
        os.set_inheritable(descriptors[0], False)
        if os.fork() == 0:
            control.close()
            supervise(socket.socket(fileno=descriptors[0]), settings, proc)
            os._exit(0)
        os.close(descriptors[0])
    if settings["base"]:
        with contextlib.suppress(ChildProcessError):
            os.wait()  # because children are ignored, this returns when the last one has ended
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        remove(settings["base"])


def isolate(settings: dict, proc: int):
    """Apply the parts of level 2 that all attempts share: mounts, network, a minimal root file system, no root."""
    for path in settings["readable"]:
        if path == WORK or path.startswith(WORK + "/"):
            raise OSError(f"{WORK} is the directory of programs in the sandbox, and {path} cannot be read in it")
    own = isolation.CLONE_NEWNS | isolation.CLONE_NEWNET | isolation.CLONE_NEWUTS
    root = os.geteuid() == 0
    if root:
        # Give up root after building the file system: files that only root may read then stay readable in it.
        isolation.unshare(own)
    else:
        isolation.enter_user_namespace(own, proc)
    isolation.change_root(settings["readable"], settings["devices"], WORK)
    if root:
        isolation.become_nobody()
