//! A model folder with its tokenizer, ready to generate text.

#![forbid(unsafe_code)]

use std::path::Path;
use std::thread::available_parallelism;

use crate::config::Config;
use crate::decode::{self, Flow, Prompt, Settings};
use crate::error::{Error, Result};
use crate::forward::{Depth, HeadFormat, LoopLm};
use crate::generation_config::GenerationConfig;
use crate::layout;
use crate::pool::Pool;
use crate::safetensors::Weights;
use crate::sampling::Sampling;
use crate::tokenizer::{DecodeStream, Tokenizer};

/// A pretrained model with its tokenizer.
///
/// ```no_run
/// let model = nanochat::Model::from_pretrained("path/to/model")?;
/// let code = model.generate("fn factorial(n: u64) -> u64 {", 200)?;
/// println!("{code}");
/// # Ok::<(), nanochat::Error>(())
/// ```
pub struct Model {
    model: LoopLm,
    tokenizer: Tokenizer,
    generation_config: GenerationConfig,
    pool: Pool,
}

/// Options of one generation. [`Model::options`] returns those of the model folder.
#[derive(Clone, Debug)]
pub struct Options {
    /// Maximum number of new tokens.
    pub max_new_tokens: usize,
    /// Choice of the tokens.
    pub sampling: Sampling,
    /// Number of loops; `None` for the configuration's.
    pub num_loops: Option<usize>,
    /// Cumulative exit probability at which a token leaves; `None` for the configuration's, 1 for no early exit.
    pub exit_threshold: Option<f32>,
}

impl Model {
    /// Load a model folder, with as many threads as the processor runs at once.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read, [`Error::Invalid`] if a file is cut, wrong, or does not fit the others,
    /// [`Error::Unsupported`] for a model that this crate does not implement. All files are checked before the weights
    /// are read.
    pub fn from_pretrained(folder: impl AsRef<Path>) -> Result<Model> {
        Model::with_threads(folder, available_parallelism().map_or(1, usize::from))
    }

    /// Load a model folder and compute with this many threads, at least 1.
    ///
    /// # Errors
    /// As [`Model::from_pretrained`], or if `threads` is 0 or above 1024.
    pub fn with_threads(folder: impl AsRef<Path>, threads: usize) -> Result<Model> {
        let folder = folder.as_ref();
        if !(1..=1024).contains(&threads) {
            return Err(Error::Invalid(format!("threads must be from 1 to 1024, got {threads}")));
        }
        let config = Config::read(folder)?;
        let generation_config = GenerationConfig::read(folder, &config)?;
        let tokenizer = Tokenizer::read(folder)?;
        if tokenizer.vocab_size() > config.vocab_size {
            let (rows, tokens) = (config.vocab_size, tokenizer.vocab_size());
            let text = format!("vocab_size must be at least the tokenizer's {tokens} tokens, got {rows}");
            return Err(Error::Invalid(text).in_file(folder));
        }
        let weights = Weights::open(folder)?;
        layout::check(&config, &weights).map_err(|error| error.in_file(folder))?;
        let model = LoopLm::build(config, &weights, HeadFormat::Stored).map_err(|error| error.in_file(folder))?;
        Ok(Model { model, tokenizer, generation_config, pool: Pool::new(threads) })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        self.model.config()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Return the options that the model folder sets: greedy decoding, unless its generation configuration samples.
    pub fn options(&self, max_new_tokens: usize) -> Options {
        let GenerationConfig { do_sample, temperature, top_k, top_p, repetition_penalty, .. } = self.generation_config;
        let sampling = match do_sample {
            true => Sampling { temperature, top_k, top_p, repetition_penalty, seed: 0 },
            false => Sampling { repetition_penalty, ..Sampling::default() },
        };
        Options { max_new_tokens, sampling, num_loops: None, exit_threshold: None }
    }

    /// Continue a text by at most `max_new_tokens` tokens, and return the text with its continuation.
    ///
    /// # Errors
    /// As [`Model::generate_with`].
    pub fn generate(&self, prompt: &str, max_new_tokens: usize) -> Result<String> {
        let mut text = prompt.to_string();
        self.generate_with(prompt, &self.options(max_new_tokens), &mut |part| {
            text.push_str(part);
            true
        })?;
        Ok(text)
    }

    /// Continue a text, and hand over each part of the continuation as soon as its characters are complete.
    ///
    /// `on_text` returns whether to go on. Special tokens are not part of the text.
    ///
    /// # Errors
    /// [`Error::Invalid`] if an option is out of range, or if prompt and new tokens together exceed the model's
    /// `max_position_embeddings`.
    pub fn generate_with(&self, prompt: &str, options: &Options, on_text: &mut dyn FnMut(&str) -> bool) -> Result<()> {
        let tokens = self.tokenizer.encode(prompt, true);
        let (longest, new) = (self.config().max_position_embeddings, options.max_new_tokens);
        if tokens.len().saturating_add(new) > longest {
            let prompt = tokens.len();
            return Err(Error::Invalid(format!(
                "max_new_tokens must be at most {} after a prompt of {prompt} tokens in a context of {longest}, got {new}",
                longest.saturating_sub(prompt)
            )));
        }
        let settings = Settings {
            sampling: options.sampling.clone(),
            depth: Depth::new(self.config(), options.num_loops, options.exit_threshold, None)?,
            max_new_tokens: new,
            num_return_sequences: 1,
            end_tokens: self.generation_config.eos_token_ids.clone(),
            batch_size: 1,
        };
        let mut stream = DecodeStream::new(&self.tokenizer, true);
        let mut wanted = true;
        let prompt = Prompt { tokens: &tokens, constraint: None };
        decode::generate(&self.model, &self.pool, &[prompt], &settings, &mut |new| {
            let text = stream.push(new.token);
            wanted = text.is_empty() || on_text(&text);
            if wanted {
                Flow::Continue
            } else {
                Flow::EndAll
            }
        })?;
        let rest = stream.finish();
        if wanted && !rest.is_empty() {
            on_text(&rest);
        }
        Ok(())
    }
}
