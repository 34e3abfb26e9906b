"""The kernel's protections, asked for through ctypes: resource limits, Landlock, namespaces. Linux only, standard
library only.

Used by `sandbox_server.py`, a process of its own; nothing here may run in the process of a caller, because most of it
cannot be undone.
"""

import ctypes
import os
import resource
import stat
import struct
from collections.abc import Iterable

NOBODY = 65534
HOST_PROC = "/host-proc"

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = -100, 0x8000, 0x1, 0x2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 36, 38

# These five calls have the same number on x86-64 and aarch64, as every call added since 2019; pivot_root is older.
SYS_MOUNT_SETATTR, SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 442, 444, 445, 446
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

FS_EXECUTE, FS_WRITE_FILE, FS_READ_FILE, FS_READ_DIR = (1 << bit for bit in range(4))
FS_REFER, FS_TRUNCATE, FS_IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
READ = FS_READ_FILE | FS_READ_DIR | FS_EXECUTE
FILE_RIGHTS = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEVICE

libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(number: int, what: str, *arguments) -> int:
    return _check(libc.syscall(ctypes.c_long(number), *arguments), what)


def _prctl(option: int, value: int, what: str):
    _check(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), what)


def die_with_parent(signal_number: int):
    """Sends this process the signal when its parent ends."""
    _prctl(PR_SET_PDEATHSIG, signal_number, "prctl(PR_SET_PDEATHSIG)")


def adopt_orphans():
    """Makes this process the parent of every descendant whose own parent ends, also of those that called setsid."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1, "prctl(PR_SET_CHILD_SUBREAPER)")


def forbid_new_privileges():
    """No setuid program gives this process or its children more rights than it has."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1, "prctl(PR_SET_NO_NEW_PRIVS)")


def landlock_version() -> int:
    """The kernel's Landlock ABI; 0 when it has none."""
    version = libc.syscall(ctypes.c_long(SYS_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(version, 0)


def landlock(readable: Iterable[str], writable: Iterable[str]):
    """Confines this process, for good, to reading and executing below `readable`, and everything below `writable`.

    Also denies, where the kernel's version knows them, TCP (4), abstract sockets and signals to the outside (6). What
    no version restricts: stat and readlink, UDP, sockets with a path. Needs `forbid_new_privileges`. Raises `OSError`.
    """
    version = landlock_version()
    if version < 1:
        raise OSError("this kernel has no Landlock, or it is not switched on")
    handled = (1 << 13) - 1
    for since, right in ((2, FS_REFER), (3, FS_TRUNCATE), (5, FS_IOCTL_DEVICE)):
        handled |= right if version >= since else 0
    network, scopes = (0b11 if version >= 4 else 0), (0b11 if version >= 6 else 0)
    attributes = struct.pack("QQQ", handled, network, scopes)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _syscall(
        SYS_LANDLOCK_CREATE, "landlock_create_ruleset", attributes, ctypes.c_size_t(size), ctypes.c_uint32(0)
    )
    rules = [(path, READ) for path in readable] + [(path, handled) for path in writable]
    for path, rights in rules:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= FILE_RIGHTS
        rule = struct.pack("=Qi", rights & handled, descriptor)
        _syscall(
            SYS_LANDLOCK_ADD,
            f"landlock_add_rule({path})",
            ctypes.c_int(ruleset),
            ctypes.c_uint32(1),
            rule,
            ctypes.c_uint32(0),
        )
        os.close(descriptor)
    _syscall(SYS_LANDLOCK_RESTRICT, "landlock_restrict_self", ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def unshare(flags: int):
    """Moves this process into new namespaces. Raises `OSError` where the kernel or a container forbids it."""
    _check(libc.unshare(flags), "unshare")


def enter_user_namespace(flags: int, proc: int):
    """Moves this process into a new user namespace and those of `flags`: the same user, without rights outside.

    `proc` is a descriptor of /proc, which may no longer be reachable by name. Raises `OSError`.
    """
    user, group = os.geteuid(), os.getegid()
    unshare(CLONE_NEWUSER | flags)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        descriptor = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def become_nobody():
    """Gives up root for good: user and group 65534, no further groups, no capabilities."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    # Changing the user made /proc/self belong to root; `enter_user_namespace` writes there.
    _prctl(PR_SET_DUMPABLE, 1, "prctl(PR_SET_DUMPABLE)")


def mount(source: str, target: str, kind: str, flags: int, options: str = ""):
    """mount(2). Raises `OSError`."""
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(libc.mount(*arguments), f"mount({source}, {target})")


def make_read_only(path: str):
    """Makes the mount at `path` and all below it read-only, and setuid programs there ordinary ones."""
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    _syscall(
        SYS_MOUNT_SETATTR,
        f"mount_setattr({path})",
        ctypes.c_int(AT_FDCWD),
        path.encode(),
        ctypes.c_uint(AT_RECURSIVE),
        attributes,
        ctypes.c_size_t(32),
    )


def change_root(readable: Iterable[str], devices: Iterable[str], directory: str):
    """Replaces everything this process sees by `readable` (read-only), `devices` and an empty `directory`.

    Needs a mount namespace of its own. Raises `OSError`; the process is of no use then.
    """
    # The new root is built on a directory that every Linux has and that nothing in the new root comes from.
    root = "/sys"
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    mount("sandbox", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for path in (*readable, *devices):
        real, target = os.path.realpath(path), root + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.islink(path) and os.path.dirname(path) == "/":
            os.symlink(os.readlink(path), target)  # /lib -> usr/lib
            continue
        if os.path.isdir(real):
            os.makedirs(target, exist_ok=True)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        mount(real, target, "", MS_BIND | MS_REC)
        if path not in devices:
            make_read_only(target)
    for path in (directory, "/proc", HOST_PROC):
        os.makedirs(root + path)
    mount("/proc", root + HOST_PROC, "", MS_BIND | MS_REC)
    os.chdir(root)
    _syscall(SYS_PIVOT_ROOT[os.uname().machine], "pivot_root", b".", b".")
    _check(libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")


def mount_own_proc():
    """In a new PID namespace: a /proc with its processes alone. Linkers ask it for their own path."""
    # The kernel allows a new one only where the whole old one is visible; it is covered afterwards.
    # Read-only, because /proc/self/mem lets a program write memory that its language does not let it write.
    mount("proc", "/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("nothing", HOST_PROC, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=0")


def limit_resources(limits: dict[str, int]):
    """Sets hard limits; the keys are those of `resource` without RLIMIT_, in lower case."""
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}")
        _, hard = resource.getrlimit(number)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        # SIGXCPU at the soft limit says why; SIGKILL follows for those who ignore it.
        extra = 1 if name == "cpu" and hard == resource.RLIM_INFINITY else 0
        resource.setrlimit(number, (value, value + extra))


def prefer_as_victim():
    """If the machine runs out of memory, the kernel ends this process and its children before others."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("800")


def processes_of(user: int) -> int:
    """How many processes and threads the user has now: RLIMIT_NPROC counts those too outside a user namespace."""
    total = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == user:
                    total += len(os.listdir(f"/proc/{name}/task"))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
    return total


def descendants(of: int) -> list[int]:
    """Process numbers of all children, grandchildren, ... of a process, by /proc."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(name))
    found, queue = [], [of]
    while queue:
        for child in children.get(queue.pop(), ()):
            found.append(child)
            queue.append(child)
    return found
