//! Let a served model continue a prompt.
//!
//!     nanochat-ternary serve --model model.gguf          # in another terminal
//!     rustc -O --edition 2021 examples/server_usage.rs
//!     ./server_usage "fn factorial(n: u64) -> u64 {" 127.0.0.1:8080

mod json;
mod server;

use std::env::args;
use std::process::ExitCode;

fn main() -> ExitCode {
    let prompt = args()
        .nth(1)
        .unwrap_or_else(|| "fn factorial(n: u64) -> u64 {".to_string());
    let address = args().nth(2).unwrap_or_else(|| "127.0.0.1:8080".to_string());
    // Greedy decoding.
    match server::complete(&address, &prompt, 200, 0.0, 0) {
        Ok(completion) => {
            println!("{}{completion}", prompt.trim_end());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
