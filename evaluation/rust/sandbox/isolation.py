"""
The kernel's protections through ctypes: resource limits, Landlock and namespaces. Linux and standard library only.

`server.py` calls these functions in a process of its own. The process of a caller must not: most of them cannot be
undone.
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

# As all system calls since 2019, these have the same number on x86-64 and aarch64; pivot_root is older.
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
    """Have the kernel send this process a signal when its parent ends."""
    _prctl(PR_SET_PDEATHSIG, signal_number, "prctl(PR_SET_PDEATHSIG)")


def adopt_orphans():
    """Make this process the parent of every descendant whose parent ends, including those that called setsid."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1, "prctl(PR_SET_CHILD_SUBREAPER)")


def forbid_new_privileges():
    """Prevent setuid programs from giving this process or its children more privileges."""
    _prctl(PR_SET_NO_NEW_PRIVS, 1, "prctl(PR_SET_NO_NEW_PRIVS)")


def landlock_version() -> int:
    """Return the kernel's Landlock ABI version; 0 for none."""
    version = libc.syscall(ctypes.c_long(SYS_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(version, 0)


def landlock(readable: Iterable[str], writable: Iterable[str]):
    """
    Restrict this process to reading and executing below `readable`, and to any access below `writable`.

    Also denies TCP (since ABI 4), and abstract sockets and signals to other processes (since ABI 6). No version
    restricts stat, readlink, UDP or UNIX sockets with a path. `forbid_new_privileges` must be called before. The
    restriction cannot be undone.

    Raises:
        OSError: The kernel has no Landlock.
    """
    version = landlock_version()
    if version < 1:
        raise OSError("this kernel has no Landlock, or it is not enabled")
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
    """Move this process into new namespaces. Raises `OSError` if the kernel or a container forbids it."""
    _check(libc.unshare(flags), "unshare")


def enter_user_namespace(flags: int, proc: int):
    """
    Move this process into a new user namespace, as the same user without privileges outside it.

    Args:
        flags: Further namespaces to create.
        proc: File descriptor of /proc, which may not be reachable by name.

    Raises:
        OSError: The kernel or a container forbids it.
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
    """Give up root permanently: user and group 65534, no supplementary groups, no capabilities."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    # After the change of user, /proc/self belongs to root, and `enter_user_namespace` writes there.
    _prctl(PR_SET_DUMPABLE, 1, "prctl(PR_SET_DUMPABLE)")


def mount(source: str, target: str, kind: str, flags: int, options: str = ""):
    """Call mount(2). Raises `OSError`."""
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(libc.mount(*arguments), f"mount({source}, {target})")


def make_read_only(path: str):
    """Make the mount at `path` and all mounts below it read-only, and ignore setuid bits there."""
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
    """
    Replace the root file system of this process, which must be in a mount namespace of its own.

    Args:
        readable: Paths to keep, read-only.
        devices: Device files to keep.
        directory: An empty directory to create.

    Raises:
        OSError: A mount failed. The process must end then.
    """
    # /sys exists on every Linux, and nothing in the new root comes from it.
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
    """Mount a /proc that shows only the processes of this PID namespace. Linkers read their own path from it."""
    # The kernel allows a new /proc only while the whole old one is visible, which is hidden afterwards.
    # Read-only, because /proc/self/mem lets a program write memory that its language does not let it write.
    mount("proc", "/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("nothing", HOST_PROC, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "size=0")


def limit_resources(limits: dict[str, int]):
    """Set hard limits. The keys are the names in `resource` without RLIMIT_, in lower case."""
    for name, value in limits.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}")
        _, hard = resource.getrlimit(number)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        # SIGXCPU at the soft limit tells the reason; SIGKILL follows for programs that ignore it.
        extra = 1 if name == "cpu" and hard == resource.RLIM_INFINITY else 0
        resource.setrlimit(number, (value, value + extra))


def prefer_as_victim():
    """Have the kernel kill this process and its children first if the machine runs out of memory."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("800")


def processes_of(user: int) -> int:
    """Return the number of processes and threads of a user: outside a user namespace RLIMIT_NPROC counts them all."""
    total = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == user:
                    total += len(os.listdir(f"/proc/{name}/task"))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended
    return total


def descendants(of: int) -> list[int]:
    """Return the process ids of all children, grandchildren and so on of a process, read from /proc."""
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
