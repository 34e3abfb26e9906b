//! Draw completions until one compiles: the model writes, the compiler decides.
//!
//!     nanochat-ternary serve --model model.gguf          # in another terminal
//!     rustc -O --edition 2021 examples/compiler_integration.rs
//!     ./compiler_integration "fn larger(a: i32, b: i32) -> i32 {" 16 127.0.0.1:8080
//!
//! It needs the command `nanochat-ternary`, which runs rustc in a sandbox. Nothing that the model writes is run.

mod json;
mod server;
mod verifier;

use std::env::args;
use std::process::ExitCode;

fn main() -> ExitCode {
    let prompt = args()
        .nth(1)
        .unwrap_or_else(|| "fn larger(a: i32, b: i32) -> i32 {".to_string());
    let count = match args().nth(2).map(|text| text.parse::<u64>()) {
        None => 16,
        Some(Ok(count)) => count,
        Some(Err(_)) => return fail("the second argument is the maximum number of completions"),
    };
    let address = args().nth(3).unwrap_or_else(|| "127.0.0.1:8080".to_string());
    for seed in 0..count {
        let completion = match server::complete(&address, &prompt, 200, 0.8, seed) {
            Ok(completion) => completion,
            Err(reason) => return fail(&reason),
        };
        let program = first_item(&format!("{}{completion}", prompt.trim_end())).to_string();
        let verdict = match verifier::verify(&program) {
            Ok(verdict) => verdict,
            Err(reason) => return fail(&reason),
        };
        eprintln!("completion {}: {}", seed + 1, verdict.status);
        if verdict.is_valid() {
            println!("{program}");
            return ExitCode::SUCCESS;
        }
    }
    fail(&format!("none of {count} completions compiles"))
}

/// The text up to the brace that closes the first one; all of it if it is never closed.
///
/// Braces in strings and comments count, too. `nanochat-ternary chat` parses the text instead.
fn first_item(text: &str) -> &str {
    let mut depth = 0usize;
    for (place, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return &text[..place + 1];
                }
            }
            _ => {}
        }
    }
    text
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}
