//! Print the token ids of the text on the standard input, as `tokenizer(text)` in transformers:
//!
//! `cargo run --release --example tokenize -- MODEL_FOLDER < program.rs`

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use nanochat::{Error, Result, Tokenizer};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("error: the folder of a model is needed");
        return ExitCode::from(2);
    };
    match run(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path) -> Result<()> {
    let tokenizer = Tokenizer::read(folder)?;
    let failed = |error| Error::io(Path::new("the standard input or output"), error);
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(failed)?;
    let ids: Vec<String> = tokenizer.encode(&text, true).iter().map(u32::to_string).collect();
    writeln!(io::stdout(), "{}", ids.join(" ")).map_err(failed)
}
