//! Ask the compiler which rule of the language a program breaks: types, ownership or lifetimes.
//!
//!     rustc -O --edition 2021 examples/semantic_verification.rs
//!     ./semantic_verification program.rs     # without a file: two programs that differ in one place
//!
//! It needs the command `nanochat-ternary`, which runs rustc in a sandbox.

mod json;
mod verifier;

use std::env::args;
use std::process::ExitCode;

/// Accepted: the loop borrows the names.
const BORROWS: &str = "\
fn greet(names: Vec<String>) -> usize {
    for name in &names {
        println!(\"hello {name}\");
    }
    names.len()
}
";

/// Rejected: the loop moves the names, which are used after it.
const MOVES: &str = "\
fn greet(names: Vec<String>) -> usize {
    for name in names {
        println!(\"hello {name}\");
    }
    names.len()
}
";

fn main() -> ExitCode {
    match args().nth(1) {
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(program) => show(&program, None),
            Err(error) => fail(&format!("{path} cannot be read: {error}")),
        },
        None => {
            let first = show(BORROWS, Some(true));
            if first == ExitCode::SUCCESS {
                show(MOVES, Some(false))
            } else {
                first
            }
        }
    }
}

/// Print the verdict on a program; fail if it is not the expected one, or without one, if it does not compile.
fn show(program: &str, expected: Option<bool>) -> ExitCode {
    match verifier::verify(program) {
        Ok(verdict) => {
            verdict.print(program);
            if verdict.is_valid() == expected.unwrap_or(true) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(reason) => fail(&reason),
    }
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}
