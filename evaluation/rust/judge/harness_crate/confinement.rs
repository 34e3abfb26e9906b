//! Starts a process and confines it: safe code cannot use the descriptors of its channels, and the kernel denies every
//! system call that opens, connects or starts something.

use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};

unsafe extern "C" {
    fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
    fn dup2(source: c_int, target: c_int) -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
    fn fork() -> c_int;
    fn wait4(process: c_int, status: *mut c_int, options: c_int, usage: *mut Usage) -> c_int;
    fn _exit(status: c_int) -> !;
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    jump_if: u8,
    jump_else: u8,
    value: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// The architecture and the system calls of a program that only computes: memory, threads, time, waiting, the end of
/// itself and of its child.
#[cfg(target_arch = "x86_64")]
mod machine {
    pub const ARCHITECTURE: u32 = 0xC000_003E;
    pub const CLONE: u32 = 56;
    pub const TGKILL: u32 = 234;
    pub const ALLOWED: [u32; 33] = [
        0, 1, 3, 8, 9, 10, 11, 12, 13, 14, 15, 20, 24, 25, 28, 35, 39, 60, 61, 131, 186, 202, 204, 219, 228, 229, 230,
        231, 247, 273, 318, 324, 334,
    ];
}
#[cfg(target_arch = "aarch64")]
mod machine {
    pub const ARCHITECTURE: u32 = 0xC000_00B7;
    pub const CLONE: u32 = 220;
    pub const TGKILL: u32 = 131;
    pub const ALLOWED: [u32; 33] = [
        63, 64, 57, 62, 222, 226, 215, 214, 134, 135, 139, 66, 124, 216, 233, 101, 172, 93, 95, 132, 178, 98, 123, 128,
        113, 114, 115, 94, 99, 260, 278, 283, 293,
    ];
}
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("hidden tests need x86_64 or aarch64: the kernel's calls have other numbers here");

const CLONE3: u32 = 435;
const CLONE_THREAD: u32 = 0x0001_0000;

const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_SET: u16 = 0x45;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7FFF_0000;
const KILL: u32 = 0x8000_0000;
const FAIL: u32 = 0x0005_0000; // plus the error
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const FIRST_ARGUMENT_AT: u32 = 16;

/// Duplicates of standard input and output whose descriptors only their owner knows.
pub struct Channel {
    pub input: Option<File>,
    pub output: File,
}

/// Takes standard output, and standard input on request; both become /dev/null for this process and its child.
pub fn own_channel(with_input: bool) -> Channel {
    const DUPLICATE_ABOVE: c_int = 1030; // F_DUPFD_CLOEXEC
    const READ_WRITE: c_int = 2;
    // SAFETY: plain calls of the C library on descriptors this process owns; each copy is owned by one file.
    unsafe {
        let copy = |descriptor| {
            let copy = fcntl(descriptor, DUPLICATE_ABOVE, 100 as c_int);
            assert!(copy >= 100);
            File::from_raw_fd(copy)
        };
        let channel = Channel { input: with_input.then(|| copy(0)), output: copy(1) };
        let null = open(c"/dev/null".as_ptr(), READ_WRITE);
        assert!(null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1);
        channel
    }
}

/// A file in memory.
pub fn memory_file() -> File {
    // SAFETY: a plain call of the C library; what it opens is owned by the file alone.
    unsafe {
        let descriptor = memfd_create(c"messages".as_ptr(), 0);
        assert!(descriptor >= 0);
        File::from_raw_fd(descriptor)
    }
}

/// Redirects standard error of this process and its children.
pub fn redirect_errors(file: &File) {
    // SAFETY: a plain call of the C library on descriptors this process owns.
    assert!(unsafe { dup2(file.as_raw_fd(), 2) } == 2);
}

#[repr(C)]
#[derive(Default)]
struct Usage {
    user: [c_long; 2],
    system: [c_long; 2],
    peak: c_long,
    rest: [c_long; 13],
}

/// How a process ended, and the resources that it and its children used.
pub struct Ended {
    /// Exit status, or minus the number of a signal.
    pub status: i32,
    pub microseconds: i64,
    pub peak_kilobytes: i64,
}

/// Does the work in a fork of this process, and waits for its end.
pub fn in_a_copy(work: impl FnOnce()) -> Ended {
    let mut usage = Usage::default();
    let mut status = 0;
    // SAFETY: this process has no other threads; the structure is that of 64-bit Linux.
    unsafe {
        let process = fork();
        assert!(process >= 0, "a process for the tests");
        if process == 0 {
            work();
            _exit(0);
        }
        assert!(wait4(process, &mut status, 0, &mut usage) == process);
    }
    let signal = status & 0x7f;
    let microseconds = |time: [c_long; 2]| time[0] * 1_000_000 + time[1];
    Ended {
        status: if signal == 0 { status >> 8 & 0xff } else { -signal },
        microseconds: microseconds(usage.user) + microseconds(usage.system),
        peak_kilobytes: usage.peak,
    }
}

/// Has the kernel end this process when its parent ends.
pub fn end_with_parent() {
    const PARENT_DEATH_SIGNAL: c_int = 1;
    const KILL_SIGNAL: c_ulong = 9;
    // SAFETY: a plain call of the C library.
    assert!(unsafe { prctl(PARENT_DEATH_SIGNAL, KILL_SIGNAL) } == 0);
}

/// Restricts this process to computation.
pub fn confine() -> Result<(), std::io::Error> {
    const NO_NEW_PRIVILEGES: c_int = 38;
    const SECCOMP: c_int = 22;
    const FILTER: c_ulong = 2;
    let filter = filter();
    let program = Program { length: filter.len() as u16, instructions: filter.as_ptr() };
    let (one, none): (c_ulong, c_ulong) = (1, 0);
    // SAFETY: the kernel copies the filter, which lives until the call returns.
    let confined = unsafe {
        prctl(NO_NEW_PRIVILEGES, one, none, none, none) == 0 && prctl(SECCOMP, FILTER, &program as *const Program) == 0
    };
    if confined { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn filter() -> Vec<Instruction> {
    let step = |code, jump_if, jump_else, value| Instruction { code, jump_if, jump_else, value };
    let mut filter = vec![
        step(LOAD, 0, 0, ARCHITECTURE_AT),
        step(JUMP_IF_EQUAL, 1, 0, machine::ARCHITECTURE),
        step(RETURN, 0, 0, KILL),
        step(LOAD, 0, 0, NUMBER_AT),
    ];
    for call in machine::ALLOWED {
        filter.extend([step(JUMP_IF_EQUAL, 0, 1, call), step(RETURN, 0, 0, ALLOW)]);
    }
    // It may send signals only to itself, as abort does.
    filter.extend([
        step(JUMP_IF_EQUAL, 0, 4, machine::TGKILL),
        step(LOAD, 0, 0, FIRST_ARGUMENT_AT),
        step(JUMP_IF_EQUAL, 0, 1, std::process::id()),
        step(RETURN, 0, 0, ALLOW),
        step(RETURN, 0, 0, FAIL | EPERM),
    ]);
    // Threads may be started, processes may not. A filter cannot see what clone3 starts; libraries then use clone.
    filter.extend([
        step(JUMP_IF_EQUAL, 0, 1, CLONE3),
        step(RETURN, 0, 0, FAIL | ENOSYS),
        step(JUMP_IF_EQUAL, 0, 3, machine::CLONE),
        step(LOAD, 0, 0, FIRST_ARGUMENT_AT),
        step(JUMP_IF_SET, 0, 1, CLONE_THREAD),
        step(RETURN, 0, 0, ALLOW),
        step(RETURN, 0, 0, FAIL | EPERM),
    ]);
    filter
}

/// Ends at once, without running threads or destructors.
pub fn exit() -> ! {
    // SAFETY: a plain call of the C library.
    unsafe { _exit(0) }
}
