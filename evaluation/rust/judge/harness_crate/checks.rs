//! The process of the tests: runs them, counts the cases that hold, reports on its own channel.
//!
//! A request is a nonce, the keys of a seal, the index of the tests and that of the candidate. If the tests share the
//! process with the candidate, the candidate's code could change the counters only through a compiler bug. They are
//! sealed, and a wrong seal is reported.

use crate::confinement::Ended;
use crate::{calls, confinement};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// A prime number. Products of two numbers below it fit into u128.
const MODULUS: u128 = (1 << 61) - 1;

const NOTHING: Counts = Counts { passed: 0, total: 0, first_failed_line: 0, seal: 0, broken: false };
const LONGEST_MESSAGE: u64 = 8 << 10; // bytes of what a candidate says on standard error

#[derive(Clone, Copy)]
struct Counts {
    passed: u32,
    total: u32,
    /// 0 for none.
    first_failed_line: u32,
    seal: u64,
    broken: bool,
}

impl Counts {
    /// A one-time authentication code of the numbers.
    fn sealed(&self, keys: &[u64; 4]) -> u64 {
        let numbers = [self.passed, self.total, self.first_failed_line];
        let terms = numbers.iter().zip(keys).map(|(number, key)| u128::from(*number) * u128::from(*key) % MODULUS);
        ((terms.sum::<u128>() + u128::from(keys[3])) % MODULUS) as u64
    }
}

struct Report {
    channel: File,
    nonce: String,
    keys: [u64; 4],
}

static REPORT: OnceLock<Report> = OnceLock::new();
static COUNTS: Mutex<Counts> = Mutex::new(NOTHING);

/// How the process ends.
pub enum End {
    /// Whether the tests finished; otherwise a panic outside the cases ended them.
    Finished(bool),
    /// The kernel does not support the protection.
    Unconfined(String),
    /// The candidate's process ended: with this status, or minus the number of a signal.
    Died(i32),
    /// The answer to a call is too long.
    TooLong,
    /// The candidate's process wrote an answer that its functions cannot have returned.
    Garbled,
}

fn counts() -> MutexGuard<'static, Counts> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a case. Not generic, so that it is compiled only once.
pub fn count(line: u32, holds: Box<dyn FnOnce() -> bool + '_>) {
    let held = match catch_unwind(AssertUnwindSafe(holds)) {
        Ok(held) => held,
        Err(payload) => {
            std::mem::forget(payload); // to drop it may run code of the candidate
            false
        }
    };
    let keys = &REPORT.get().expect("a report to make").keys;
    let mut counts = counts();
    counts.broken |= counts.seal != counts.sealed(keys);
    counts.total += 1;
    if held {
        counts.passed += 1;
    } else if counts.first_failed_line == 0 {
        counts.first_failed_line = line;
    }
    counts.seal = counts.sealed(keys);
}

/// Main of the process: each line of standard input requests the tests of one candidate, which run in a fork. With the
/// name of the candidates' program as its argument it starts that for each; without one, it is linked with them.
pub fn run_checks(checks: &[fn()]) {
    let mut requests = String::new();
    std::io::stdin().read_to_string(&mut requests).expect("requests");
    let mut channel = confinement::own_channel(false).output;
    let program = std::env::args().nth(1);
    for request in requests.lines() {
        let (nonce, numbers) = request.split_once(' ').expect("a nonce and numbers");
        let numbers: Vec<u64> = numbers.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [a, b, c, d, test, candidate] = numbers[..] else { panic!("keys, tests and a candidate") };
        let started = Instant::now();
        let mut messages = confinement::memory_file();
        let ended = confinement::in_a_copy(|| {
            confinement::redirect_errors(&messages);
            let keys = [a, b, c, d];
            counts().seal = NOTHING.sealed(&keys);
            let channel = channel.try_clone().expect("a channel");
            assert!(REPORT.set(Report { channel, nonce: nonce.to_owned(), keys }).is_ok());
            run(checks[test as usize], program.as_deref(), candidate as u32);
        });
        let mut said = Vec::new();
        messages.rewind().expect("a file");
        messages.take(LONGEST_MESSAGE).read_to_end(&mut said).expect("messages");
        let said: String = said.iter().map(|byte| format!("{byte:02x}")).collect();
        let Ended { status, microseconds, peak_kilobytes } = ended;
        let elapsed = started.elapsed().as_micros();
        let line = format!("{nonce} ended {status} {elapsed} {microseconds} {peak_kilobytes} {said}\n");
        channel.write_all(line.as_bytes()).expect("somebody who reads");
    }
}

fn run(checks: fn(), program: Option<&str>, candidate: u32) -> ! {
    if let Some(program) = program {
        calls::start(program, candidate);
    }
    if let Err(error) = confinement::confine() {
        end(End::Unconfined(error.to_string()));
    }
    let finished = match catch_unwind(checks) {
        Ok(()) => true,
        Err(payload) => {
            std::mem::forget(payload);
            false
        }
    };
    end(End::Finished(finished))
}

/// Reports the end and ends at once, without running threads or destructors.
pub fn end(how: End) -> ! {
    let report = REPORT.get().expect("a report to make");
    let text = match how {
        End::Finished(finished) => {
            let Counts { passed, total, first_failed_line, seal, broken } = *counts();
            format!("finished {} {passed} {total} {first_failed_line} {seal} {}", u8::from(finished), u8::from(broken))
        }
        End::Unconfined(reason) => format!("unconfined {reason}"),
        End::Died(status) => format!("died {status}"),
        End::TooLong => "too long".to_owned(),
        End::Garbled => "garbled".to_owned(),
    };
    let _ = (&report.channel).write_all(format!("{} {text}\n", report.nonce).as_bytes());
    confinement::exit()
}
