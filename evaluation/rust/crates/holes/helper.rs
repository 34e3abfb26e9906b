//! Linked into the tests of a crate whose functions have a choice of bodies, or record that they were called.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const UNKNOWN: usize = usize::MAX;
const MAX_FUNCTIONS: usize = 1 << 16;
const NO_CANDIDATE: i32 = 98;
const EXITED: i32 = 97;

extern "C" {
    fn _exit(status: i32) -> !;
}

/// Replaces the C library's function in the whole program. A program whose tests all passed returns from `main` and
/// never calls it, so that status 0 means that the test harness itself came to its end.
#[no_mangle]
pub extern "C" fn exit(status: i32) -> ! {
    unsafe { _exit(if status == 0 { EXITED } else { status }) }
}

/// Returns the index of the token that this run was given, and ends the program if it was given none of them.
#[inline(never)]
pub fn candidate(tokens: &[u64]) -> usize {
    static CHOSEN: AtomicUsize = AtomicUsize::new(UNKNOWN);
    let chosen = CHOSEN.load(Ordering::Relaxed);
    if chosen != UNKNOWN {
        return chosen;
    }
    let given = std::env::var("NANOCHAT_CANDIDATE").ok().and_then(|text| text.parse::<u64>().ok());
    match given.and_then(|token| tokens.iter().position(|each| *each == token)) {
        Some(index) => {
            CHOSEN.store(index, Ordering::Relaxed);
            index
        }
        None => unsafe { _exit(NO_CANDIDATE) },
    }
}

/// Records that a function was called, once for each function, as a line of the file that the environment names.
#[inline(never)]
pub fn reached(number: usize) {
    static SEEN: [AtomicBool; MAX_FUNCTIONS] = [const { AtomicBool::new(false) }; MAX_FUNCTIONS];
    if number >= MAX_FUNCTIONS || SEEN[number].swap(true, Ordering::Relaxed) {
        return;
    }
    if let Ok(path) = std::env::var("NANOCHAT_REACHED") {
        if let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path) {
            let _ = file.write_all(format!("{number}\n").as_bytes());
        }
    }
}
