//! Let the model continue a prompt, on this computer. In the folder of the published model:
//!
//!     cargo run --release --manifest-path examples/Cargo.toml -- "fn factorial(n: u64) -> u64 {" .

use std::env::args;
use std::process::ExitCode;

use nanochat::{Model, Result};

fn complete(folder: &str, prompt: &str) -> Result<String> {
    Model::from_pretrained(folder)?.generate(prompt, 200)
}

fn main() -> ExitCode {
    let prompt = args()
        .nth(1)
        .unwrap_or_else(|| "fn factorial(n: u64) -> u64 {".to_string());
    let folder = args().nth(2).unwrap_or_else(|| ".".to_string());
    match complete(&folder, &prompt) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
