//! The command `nanochat`: continue a text with a model folder.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;

use nanochat::{Error, Model, Result};

const HELP: &str = "\
Continue a text with a model, greedily unless the folder or an option says otherwise.

Usage: nanochat generate --model DIR --prompt TEXT [options]

Options:
  --model DIR             model folder with config.json, tokenizer.json and safetensors
  --prompt TEXT           text to continue
  --max-new-tokens N      maximum number of new tokens (default: 128)
  --temperature T         divisor of the logits; 0 for the most probable token
  --top-k K               sample from the K most probable tokens; 0 for all
  --top-p P               sample from the smallest set of tokens with this probability
  --seed N                seed of the samples (default: 0)
  --num-loops N           number of loops (default: the configuration's)
  --exit-threshold Q      exit probability at which a token leaves; 1 for no early exit
  --threads N             number of threads (default: those of the processor)
  --help                  print this text
";

#[derive(Default)]
struct Arguments {
    model: Option<String>,
    prompt: Option<String>,
    max_new_tokens: Option<usize>,
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    seed: Option<u64>,
    num_loops: Option<usize>,
    exit_threshold: Option<f32>,
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|text| text.to_string_lossy().into_owned()).collect();
    if arguments.is_empty() || arguments.iter().any(|text| text == "--help" || text == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let parsed = match parse(&arguments) {
        Ok(parsed) => parsed,
        Err(text) => {
            eprintln!("error: {text}; see nanochat --help");
            return ExitCode::from(2);
        }
    };
    match generate(parsed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> std::result::Result<Arguments, String> {
    if arguments[0] != "generate" {
        return Err(format!("the command must be generate, got {:?}", arguments[0]));
    }
    let mut parsed = Arguments::default();
    let mut rest = arguments[1..].iter();
    while let Some(argument) = rest.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, value.to_string()),
            None => match rest.next() {
                Some(value) => (argument.as_str(), value.clone()),
                None => return Err(format!("{argument} must be a known option with a value, got nothing after it")),
            },
        };
        match name {
            "--model" => parsed.model = Some(value),
            "--prompt" => parsed.prompt = Some(value),
            "--max-new-tokens" => parsed.max_new_tokens = number(name, "an integer >= 0", &value)?,
            "--temperature" => parsed.temperature = number(name, "a number >= 0", &value)?,
            "--top-k" => parsed.top_k = number(name, "an integer >= 0", &value)?,
            "--top-p" => parsed.top_p = number(name, "a number > 0 and <= 1", &value)?,
            "--seed" => parsed.seed = number(name, "an integer >= 0", &value)?,
            "--num-loops" => parsed.num_loops = number(name, "an integer >= 1", &value)?,
            "--exit-threshold" => parsed.exit_threshold = number(name, "a number > 0", &value)?,
            "--threads" => parsed.threads = number(name, "an integer >= 1", &value)?,
            _ => return Err(format!("the option {name} is not known")),
        }
    }
    Ok(parsed)
}

fn number<T: std::str::FromStr>(name: &str, rule: &str, value: &str) -> std::result::Result<Option<T>, String> {
    value.parse().map(Some).map_err(|_| format!("{name} must be {rule}, got {value:?}"))
}

fn generate(arguments: Arguments) -> Result<()> {
    let needed = |name: &str, value: Option<String>| {
        value.ok_or_else(|| Error::Invalid(format!("{name} must be given; see nanochat --help")))
    };
    let folder = needed("--model", arguments.model)?;
    let prompt = needed("--prompt", arguments.prompt)?;
    let model = match arguments.threads {
        Some(threads) => Model::with_threads(folder, threads)?,
        None => Model::from_pretrained(folder)?,
    };
    let mut options = model.options(arguments.max_new_tokens.unwrap_or(128));
    let sampling = &mut options.sampling;
    sampling.temperature = arguments.temperature.unwrap_or(sampling.temperature);
    sampling.top_k = arguments.top_k.unwrap_or(sampling.top_k);
    sampling.top_p = arguments.top_p.unwrap_or(sampling.top_p);
    sampling.seed = arguments.seed.unwrap_or(0);
    options.num_loops = arguments.num_loops;
    options.exit_threshold = arguments.exit_threshold;

    let mut out = io::stdout().lock();
    let mut begun = false;
    let mut failure = None;
    model.generate_with(&prompt, &options, &mut |part| {
        let shown = if begun { Ok(()) } else { out.write_all(prompt.as_bytes()) };
        begun = true;
        failure = shown.and_then(|()| out.write_all(part.as_bytes())).and_then(|()| out.flush()).err();
        failure.is_none()
    })?;
    let last = match (failure, begun) {
        (Some(error), _) => Err(error),
        (None, true) => writeln!(out),
        (None, false) => writeln!(out, "{prompt}"),
    };
    match last {
        // The reader of a pipe may end before the text does.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("the standard output".as_ref(), error))
        }
        _ => Ok(()),
    }
}
