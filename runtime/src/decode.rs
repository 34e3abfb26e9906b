//! Generation of many texts together: prompts, samples that share a prompt, and stop rules.

#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::cache::{KeyValues, Sequence};
use crate::constraint::{Constraint, Place};
use crate::error::{Error, Result};
use crate::forward::{Depth, LoopLm, Span};
use crate::pool::Pool;
use crate::sampling::{Random, Sampling};

/// A text to continue.
#[derive(Clone, Copy, Debug)]
pub struct Prompt<'a> {
    /// Its tokens, at least one.
    pub tokens: &'a [u32],
    /// The tokens with which its completions may begin; None for all.
    pub constraint: Option<Constraint<'a>>,
}

/// Settings of a generation.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Choice of the tokens.
    pub sampling: Sampling,
    /// Depth of the new tokens. The prompt always runs all loops.
    pub depth: Depth,
    /// Maximum number of new tokens of a text.
    pub max_new_tokens: usize,
    /// Number of samples of each prompt.
    pub num_return_sequences: usize,
    /// Tokens that end a text.
    pub end_tokens: Vec<u32>,
    /// Maximum number of texts that are computed together; the next one begins when one has ended.
    pub batch_size: usize,
}

/// A generated text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Completion {
    /// New tokens, with the end token if the text ended with one.
    pub tokens: Vec<u32>,
    /// Log-probability of each token in nats, see [`Sampling::choose`].
    pub log_probabilities: Vec<f32>,
    /// Number of loops that each token took.
    pub loops_used: Vec<usize>,
}

/// A new token, given to the caller as soon as it is chosen.
#[derive(Clone, Copy, Debug)]
pub struct NewToken {
    /// Index of the completion: sample `i` of prompt `p` is number `p * num_return_sequences + i`.
    pub completion: usize,
    /// The token.
    pub token: u32,
}

/// Whether a text goes on after a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Continue,
    /// This text ends.
    End,
    /// All texts end.
    EndAll,
}

/// A text in the batch.
struct Running<'a> {
    completion: usize,
    sequence: Sequence,
    random: Random,
    next: [u32; 1],
    place: Option<Place<'a>>,
}

/// Generate the completions of all prompts, in the order of the prompts, with the samples of a prompt adjacent.
///
/// A completion depends on the settings, its prompt and its index, not on the other texts.
///
/// # Errors
/// [`Error::Invalid`] if a prompt is empty, a token is not in the vocabulary, or a setting is out of range.
pub fn generate(
    model: &LoopLm,
    pool: &Pool,
    prompts: &[Prompt<'_>],
    settings: &Settings,
    on_token: &mut dyn FnMut(NewToken) -> Flow,
) -> Result<Vec<Completion>> {
    settings.sampling.check()?;
    for (name, value) in [("batch_size", settings.batch_size), ("num_return_sequences", settings.num_return_sequences)]
    {
        if value == 0 {
            return Err(Error::invalid(format!("{name} must be at least 1, got 0")));
        }
    }
    if let Some(index) = prompts.iter().position(|prompt| prompt.tokens.is_empty()) {
        return Err(Error::invalid(format!("a prompt must have at least one token, got none in prompt {index}")));
    }
    prompts.iter().try_for_each(|prompt| model.check_tokens(prompt.tokens))?;
    let count = settings.num_return_sequences;
    let mut completions = vec![Completion::default(); prompts.len() * count];
    if settings.max_new_tokens == 0 {
        return Ok(completions);
    }
    let mut batch: Vec<Running<'_>> = Vec::new();
    let mut waiting = 0;
    let mut prefix: Option<Prefix<'_>> = None;
    let mut stopped = false;
    let vocab = model.config().vocab_size;
    while !stopped && (waiting < completions.len() || !batch.is_empty()) {
        while !stopped && batch.len() < settings.batch_size && waiting < completions.len() {
            let completion = waiting;
            waiting += 1;
            let Prompt { tokens: prompt, constraint } = prompts[completion / count];
            let again = waiting < completions.len() && prompts[waiting / count].tokens == prompt;
            let (sequence, mut logits) = start(model, pool, prompt, again, settings, &mut prefix)?;
            let random = Random::new(settings.sampling.seed, completion as u64);
            let mut text =
                Running { completion, sequence, random, next: [0], place: constraint.map(Constraint::start) };
            let record = &mut completions[completion];
            match choose(settings, prompt, &mut logits, settings.depth.loops, &mut text, record, on_token) {
                Flow::Continue => batch.push(text),
                Flow::End => {}
                Flow::EndAll => stopped = true,
            }
        }
        if stopped || batch.is_empty() {
            continue;
        }
        let states = {
            let mut spans: Vec<Span<'_>> = Vec::with_capacity(batch.len());
            for Running { sequence, next, .. } in &mut batch {
                let length = sequence.len() + 1;
                spans.push(Span { sequence, tokens: next, length, may_exit: settings.depth.threshold < 1.0 });
            }
            model.forward(pool, &mut spans, settings.depth)
        };
        let mut logits = model.logits(pool, &states.hidden);
        let mut rows = logits.chunks_exact_mut(vocab).zip(&states.loops_used);
        batch.retain_mut(|text| {
            let (logits, loops) = rows.next().expect("there is a row for each text");
            let prompt = prompts[text.completion / count].tokens;
            let record = &mut completions[text.completion];
            match choose(settings, prompt, logits, *loops, text, record, on_token) {
                Flow::Continue => true,
                Flow::End => false,
                Flow::EndAll => {
                    stopped = true;
                    false
                }
            }
        });
    }
    Ok(completions)
}

/// A prompt that several adjacent completions share.
struct Prefix<'a> {
    prompt: &'a [u32],
    cache: Arc<KeyValues>,
    logits: Vec<f32>,
}

/// Begin a completion and return its cache and the logits after the prompt.
///
/// The prompt is computed once for adjacent completions with equal prompts; `again` says that the next one has it too.
fn start<'a>(
    model: &LoopLm,
    pool: &Pool,
    prompt: &'a [u32],
    again: bool,
    settings: &Settings,
    prefix: &mut Option<Prefix<'a>>,
) -> Result<(Sequence, Vec<f32>)> {
    let room = settings.max_new_tokens;
    let begin = |shared: &Prefix<'a>| (Sequence::after(Arc::clone(&shared.cache), room), shared.logits.clone());
    if let Some(shared) = prefix.as_ref().filter(|shared| shared.prompt == prompt) {
        return Ok(begin(shared));
    }
    *prefix = None;
    let own_room = if again { 0 } else { room };
    let mut sequence = Sequence::new(model.cache_shape(settings.depth), prompt.len() + own_room);
    let states = model.prompt(pool, &mut sequence, prompt, settings.depth, true)?;
    let logits = model.logits(pool, &states.hidden);
    if !again {
        return Ok((sequence, logits));
    }
    let cache = sequence.into_prefix().expect("a prompt has no prefix");
    Ok(begin(prefix.insert(Prefix { prompt, cache, logits })))
}

/// Choose the next token of a text, record it, and say whether the text goes on.
fn choose(
    settings: &Settings,
    prompt: &[u32],
    logits: &mut [f32],
    loops: usize,
    text: &mut Running<'_>,
    record: &mut Completion,
    on_token: &mut dyn FnMut(NewToken) -> Flow,
) -> Flow {
    let penalized = if settings.sampling.repetition_penalty == 1.0 {
        Vec::new()
    } else {
        [prompt, record.tokens.as_slice()].concat()
    };
    let (token, log_probability) = match text.place {
        None => settings.sampling.choose(logits, &penalized, &mut text.random),
        Some(place) => {
            let (token, log_probability, after) =
                place.choose(&settings.sampling, logits, &penalized, &mut text.random);
            text.place = after;
            (token, log_probability)
        }
    };
    record.tokens.push(token);
    record.log_probabilities.push(log_probability);
    record.loops_used.push(loops);
    text.next = [token];
    let flow = on_token(NewToken { completion: text.completion, token });
    let ended = record.tokens.len() == settings.max_new_tokens || settings.end_tokens.contains(&token);
    if flow == Flow::Continue && ended {
        Flow::End
    } else {
        flow
    }
}
