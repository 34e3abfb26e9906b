//! The main of every checker: shuts its process in, runs the checks of one candidate, reports on a channel of its own.
//!
//! Standard input has a nonce and the number of the candidate. Before any code of the candidate runs, both are read,
//! standard input and output are turned to nothing, and the kernel is told to refuse every call that opens, connects
//! or starts something. The report goes to a copy of standard output whose number safe code cannot use.

use std::io::Read;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

static PASSED: AtomicU32 = AtomicU32::new(0);
static TOTAL: AtomicU32 = AtomicU32::new(0);
static FIRST_FAILED_LINE: AtomicU32 = AtomicU32::new(0);

/// One case: an expression that is true if the candidate is right; a panic is wrong.
macro_rules! check {
    ($($holds:tt)+) => { crate::count(line!(), Box::new(|| -> bool { $($holds)+ })) };
}

// Not generic: it would be compiled once for each case.
fn count(line: u32, holds: Box<dyn FnOnce() -> bool + '_>) {
    TOTAL.fetch_add(1, SeqCst);
    let held = match catch_unwind(AssertUnwindSafe(holds)) {
        Ok(held) => held,
        Err(payload) => {
            std::mem::forget(payload); // to drop it would run code of the candidate
            false
        }
    };
    if held {
        PASSED.fetch_add(1, SeqCst);
    } else {
        let _ = FIRST_FAILED_LINE.compare_exchange(0, line, SeqCst, SeqCst);
    }
}

fn main() {
    let mut request = String::new();
    std::io::stdin().read_to_string(&mut request).expect("a nonce and a number");
    let (nonce, number) = request.split_once(' ').expect("a nonce and a number");
    let checks = CHECKS[number.parse::<usize>().expect("a number")];
    let channel = confinement::own_channel();
    if let Err(reason) = confinement::confine() {
        confinement::report(channel, &format!("{nonce} unconfined {reason}"));
    }
    let finished = match catch_unwind(checks) {
        Ok(()) => 1,
        Err(payload) => {
            std::mem::forget(payload);
            0
        }
    };
    let (passed, total) = (PASSED.load(SeqCst), TOTAL.load(SeqCst));
    let line = FIRST_FAILED_LINE.load(SeqCst);
    confinement::report(channel, &format!("{nonce} {finished} {passed} {total} {line}"));
}

mod confinement {
    use std::ffi::{c_char, c_int, c_ulong};

    unsafe extern "C" {
        fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
        fn dup2(source: c_int, target: c_int) -> c_int;
        fn open(path: *const c_char, flags: c_int, ...) -> c_int;
        fn prctl(option: c_int, ...) -> c_int;
        fn write(descriptor: c_int, text: *const u8, size: usize) -> isize;
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

    /// A number and the calls that a program needs which only computes: memory, threads, time, waiting, its own end.
    #[cfg(target_arch = "x86_64")]
    mod machine {
        pub const ARCHITECTURE: u32 = 0xC000_003E;
        pub const CLONE: u32 = 56;
        pub const ALLOWED: [u32; 32] = [
            0, 1, 3, 8, 9, 10, 11, 12, 13, 14, 15, 20, 24, 25, 28, 35, 39, 60, 131, 186, 202, 204, 219, 228, 229, 230,
            231, 234, 273, 318, 324, 334,
        ];
    }
    #[cfg(target_arch = "aarch64")]
    mod machine {
        pub const ARCHITECTURE: u32 = 0xC000_00B7;
        pub const CLONE: u32 = 220;
        pub const ALLOWED: [u32; 32] = [
            63, 64, 57, 62, 222, 226, 215, 214, 134, 135, 139, 66, 124, 216, 233, 101, 172, 93, 132, 178, 98, 123, 128,
            113, 114, 115, 94, 131, 99, 278, 283, 293,
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

    /// A copy of standard output; standard input and output become nothing.
    pub fn own_channel() -> i32 {
        const DUPLICATE_ABOVE: c_int = 1030; // F_DUPFD_CLOEXEC
        const READ_WRITE: c_int = 2;
        // SAFETY: plain calls of the C library on descriptors this process owns.
        unsafe {
            let channel = fcntl(1, DUPLICATE_ABOVE, 100 as c_int);
            let null = open(c"/dev/null".as_ptr(), READ_WRITE);
            assert!(channel >= 100 && null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1);
            channel
        }
    }

    /// From here on the process can compute, and nothing else.
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
        // A thread may be started, a process may not; what clone3 starts a filter cannot see, and libraries know that.
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

    /// Says it and ends at once: nothing of the candidate runs any more, no thread and no destructor.
    pub fn report(channel: i32, text: &str) -> ! {
        // SAFETY: plain calls of the C library; the text lives until the first returns.
        unsafe {
            write(channel, text.as_ptr(), text.len());
            _exit(0)
        }
    }
}
