//! Continue a function: `cargo run --release --example factorial -- MODEL_FOLDER`.

use std::process::ExitCode;

use nanochat::{Model, Result};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("error: the folder of a model is needed");
        return ExitCode::from(2);
    };
    let run = || -> Result<String> { Model::from_pretrained(&folder)?.generate("fn factorial(n: u64) -> u64 {", 200) };
    match run() {
        Ok(code) => {
            println!("{code}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
