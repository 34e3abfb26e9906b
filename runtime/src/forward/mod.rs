//! The forward pass of LoopLM: prelude, the core in every loop with early exit of tokens, and coda.
//!
//! It computes what `LoopLMModel.forward` of `modeling_nanochat` computes, in single precision.

#![forbid(unsafe_code)]

mod attention;
mod block;
mod exit;
mod linear;
mod norm;
mod parallel;
mod rope;
mod streams;
pub(crate) mod vector;
mod weights;

use crate::cache::{CacheShape, Sequence};
use crate::config::{Config, KvReuse};
use crate::error::{Error, Result};
use crate::floats::Matrix;
use crate::pool::Pool;
use block::{Block, Token, Workspace};
use exit::ExitState;
use norm::RmsNorm;
use rope::Rotary;
pub use weights::{HeadFormat, TensorSource};

/// Maximum number of tokens of a prompt that pass through the model together.
const PROMPT_BLOCK: usize = 256;

/// Number of loops, and the cumulative exit probability at which a token leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Depth {
    /// Number of loops to run.
    pub loops: usize,
    /// Exit threshold; 1 or more disables early exit.
    pub threshold: f32,
}

impl Depth {
    /// Return the depth that a call asks for; what is `None` comes from the configuration.
    ///
    /// If one of `exit_threshold` and `exit_at_loop` is given, the configuration's value of the other is not used.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a value is out of range or both forms of exit are given.
    pub fn new(
        config: &Config,
        num_loops: Option<usize>,
        exit_threshold: Option<f32>,
        exit_at_loop: Option<usize>,
    ) -> Result<Depth> {
        if let (Some(threshold), Some(at)) = (exit_threshold, exit_at_loop) {
            if threshold < 1.0 {
                return Err(Error::invalid(format!(
                    "exit_threshold below 1 and exit_at_loop exclude each other, got {threshold} and {at}"
                )));
            }
        }
        let loops = num_loops.unwrap_or(config.num_loops);
        if loops == 0 || loops > crate::config::MAX_DEPTH {
            return Err(Error::invalid(format!(
                "num_loops must be an integer from 1 to {}, got {loops}",
                crate::config::MAX_DEPTH
            )));
        }
        let threshold = exit_threshold.unwrap_or(if exit_at_loop.is_none() { config.exit_threshold } else { 1.0 });
        if !(threshold > 0.0 && threshold.is_finite()) {
            return Err(Error::invalid(format!("exit_threshold must be a finite number > 0, got {threshold}")));
        }
        let exit_at_loop = if threshold >= 1.0 { exit_at_loop.or(config.exit_at_loop) } else { exit_at_loop };
        match exit_at_loop {
            None => Ok(Depth { loops, threshold }),
            Some(at) if (1..=loops).contains(&at) => Ok(Depth { loops: at, threshold: 1.0 }),
            Some(at) => {
                Err(Error::invalid(format!("exit_at_loop must be an integer from 1 to num_loops={loops}, got {at}")))
            }
        }
    }
}

/// New tokens of one text in a forward pass.
pub struct Span<'a> {
    /// Cache of the text, with the positions before.
    pub sequence: &'a mut Sequence,
    /// The tokens.
    pub tokens: &'a [u32],
    /// Number of tokens of the text after the call.
    pub length: usize,
    /// Whether the tokens may leave before the last loop; there is only one token then.
    pub may_exit: bool,
}

/// Result of a forward pass.
#[derive(Debug, Default)]
pub struct States {
    /// Hidden states that the head reads, after the last loop that a token ran and the coda, `[tokens][hidden]`.
    pub hidden: Vec<f32>,
    /// Number of loops that each token ran.
    pub loops_used: Vec<usize>,
}

/// Weights of a model, ready for computation.
pub struct LoopLm {
    config: Config,
    embedding: Matrix,
    head: Option<Matrix>,
    /// Prelude, core and coda.
    blocks: Vec<Block>,
    /// Factors of the loops' changes; `None` if each loop reads the norm of the state.
    loop_scale: Option<Vec<f32>>,
    norm: RmsNorm,
    gate: Vec<f32>,
    gate_bias: f32,
    rotary: Rotary,
}

impl LoopLm {
    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of the weights in memory, without the norms and other small tensors.
    pub fn bytes(&self) -> usize {
        let head = self.head.as_ref().map_or(0, Matrix::bytes);
        self.embedding.bytes() + head + self.blocks.iter().map(Block::bytes).sum::<usize>()
    }

    /// Sizes of the caches of a text that is computed at a depth.
    pub fn cache_shape(&self, depth: Depth) -> CacheShape {
        CacheShape {
            outer: self.config.num_prelude_layers + self.config.num_coda_layers,
            layers: self.config.num_shared_layers,
            loops: if self.config.kv_reuse == KvReuse::Last { 1 } else { depth.loops },
            heads: self.config.num_key_value_heads,
            head_dim: self.config.head_dim,
        }
    }

    /// Compute a prompt and return the states of its tokens, or only of the last one.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty or has an id outside the vocabulary.
    pub fn prompt(
        &self,
        pool: &Pool,
        sequence: &mut Sequence,
        tokens: &[u32],
        depth: Depth,
        only_last: bool,
    ) -> Result<States> {
        if tokens.is_empty() {
            return Err(Error::invalid("a prompt must have at least one token, got none"));
        }
        self.check_tokens(tokens)?;
        let depth = Depth { threshold: 1.0, ..depth };
        // In a prompt, every loop attends to the same loop. Its keys are overwritten after the pass if only those of
        // the last loop are kept, so that a prompt cannot be divided.
        let block = if self.config.kv_reuse == KvReuse::Last { tokens.len() } else { PROMPT_BLOCK };
        let length = sequence.len() + tokens.len();
        let mut states = States::default();
        for tokens in tokens.chunks(block) {
            let span = Span { sequence: &mut *sequence, tokens, length, may_exit: false };
            let found = self.forward(pool, &mut [span], depth);
            if only_last {
                states.hidden = found.hidden[found.hidden.len() - self.config.hidden_size..].to_vec();
                states.loops_used = vec![depth.loops];
            } else {
                states.hidden.extend(found.hidden);
                states.loops_used.extend(found.loops_used);
            }
        }
        Ok(states)
    }

    /// Compute one more token of a text.
    ///
    /// # Panics
    /// The token is not in the vocabulary, or the cache has no room.
    pub fn next(&self, pool: &Pool, sequence: &mut Sequence, token: u32, depth: Depth) -> States {
        let length = sequence.len() + 1;
        let span = Span { sequence, tokens: &[token], length, may_exit: depth.threshold < 1.0 };
        self.forward(pool, &mut [span], depth)
    }

    /// Check that all ids are in the vocabulary.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the first one that is not.
    pub fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        let size = self.config.vocab_size;
        match tokens.iter().find(|token| **token as usize >= size) {
            None => Ok(()),
            Some(token) => Err(Error::invalid(format!("token ids must be below vocab_size={size}, got {token}"))),
        }
    }

    /// Run all layers on the new tokens of all texts.
    ///
    /// # Panics
    /// A token is not in the vocabulary, or a cache has no room.
    pub fn forward(&self, pool: &Pool, spans: &mut [Span<'_>], depth: Depth) -> States {
        let (hidden, streams) = (self.config.hidden_size, self.config.mhc_num_streams);
        let width = hidden * streams;
        let mut active = self.tokens(spans);
        let total = active.len();
        let mut work = Workspace::new(total, width);
        for (token, states) in active.iter().zip(work.states.chunks_exact_mut(width)) {
            let id = spans[token.span].tokens[token.index] as usize;
            self.embedding.copy_row(id, &mut states[..hidden]);
            for stream in 1..streams {
                states.copy_within(..hidden, stream * hidden);
            }
        }
        let shape = self.cache_shape(depth);
        let (prelude, core) = (self.config.num_prelude_layers, self.config.num_shared_layers);
        for (layer, block) in self.blocks[..prelude].iter().enumerate() {
            block.apply(pool, spans, &active, shape.outer(layer), &mut work);
        }
        let mut ended = Ended { tokens: Vec::new(), states: vec![0.0; total * width], width };
        let mut loops_used = vec![depth.loops; total];
        for loop_index in 0..depth.loops {
            let before = if loop_index > 0 { self.loop_scale.as_ref().map(|_| work.states.clone()) } else { None };
            for (layer, block) in self.blocks[prelude..prelude + core].iter().enumerate() {
                block.apply(pool, spans, &active, shape.looped(loop_index.min(shape.loops - 1), layer), &mut work);
            }
            if let (Some(before), Some(scale)) = (before, &self.loop_scale) {
                scale_changes(&before, scale, &mut work.states);
            }
            if loop_index + 1 == depth.loops {
                break;
            }
            if depth.threshold < 1.0 {
                self.leave(spans, &mut active, &mut work, &mut ended, loop_index, depth, &mut loops_used);
                if active.is_empty() {
                    break;
                }
            }
            if self.loop_scale.is_none() {
                work.states.chunks_exact_mut(width).for_each(|states| self.norm.apply_in_place(states));
            }
        }
        // Every token continues with the state of its own last loop.
        for (token, states) in active.into_iter().zip(work.states.chunks_exact(width)) {
            ended.add(token, states);
        }
        let Ended { mut tokens, states, .. } = ended;
        tokens.sort_by_key(|token| token.row);
        work.states = states;
        for (layer, block) in self.blocks[prelude + core..].iter().enumerate() {
            block.apply(pool, spans, &tokens, shape.outer(prelude + layer), &mut work);
        }
        for span in spans.iter_mut() {
            span.sequence.advance(span.tokens.len());
        }
        States { hidden: self.head_states(&work.states), loops_used }
    }

    /// Compute the logits of hidden states, `[rows][vocab]`.
    pub fn logits(&self, pool: &Pool, hidden: &[f32]) -> Vec<f32> {
        let rows = hidden.len() / self.config.hidden_size;
        let mut logits = vec![0.0; rows * self.config.vocab_size];
        self.head.as_ref().unwrap_or(&self.embedding).multiply(pool, hidden, rows, &mut logits);
        logits
    }

    fn tokens(&self, spans: &[Span<'_>]) -> Vec<Token> {
        let mut tokens = Vec::new();
        for (span, new) in spans.iter().enumerate() {
            assert!(!new.may_exit || new.tokens.len() == 1, "only single tokens may leave early");
            for index in 0..new.tokens.len() {
                let position = new.sequence.len() + index;
                let rotation = self.rotary.rotation(position, new.length);
                tokens.push(Token { span, index, position, row: tokens.len(), rotation, exit: ExitState::default() });
            }
        }
        tokens
    }

    /// Return the norm of the mean of the streams of each token.
    fn head_states(&self, states: &[f32]) -> Vec<f32> {
        let (hidden, streams) = (self.config.hidden_size, self.config.mhc_num_streams);
        let mut output = vec![0.0; states.len() / streams];
        let mut mean = vec![0.0; hidden];
        for (states, output) in states.chunks_exact(hidden * streams).zip(output.chunks_exact_mut(hidden)) {
            if streams == 1 {
                self.norm.apply(states, output);
                continue;
            }
            mean.copy_from_slice(&states[..hidden]);
            for stream in states[hidden..].chunks_exact(hidden) {
                mean.iter_mut().zip(stream).for_each(|(mean, value)| *mean += value);
            }
            mean.iter_mut().for_each(|mean| *mean /= streams as f32);
            self.norm.apply(&mean, output);
        }
        output
    }

    /// Let the tokens leave whose exit probability has reached the threshold: their loops, and the keys and values of
    /// the core, are final.
    #[allow(clippy::too_many_arguments)] // One step of the loop over the depth.
    fn leave(
        &self,
        spans: &mut [Span<'_>],
        active: &mut Vec<Token>,
        work: &mut Workspace,
        ended: &mut Ended,
        loop_index: usize,
        depth: Depth,
        loops_used: &mut [usize],
    ) {
        let gate_inputs = self.head_states(&work.states);
        let mut stays = Vec::with_capacity(active.len());
        let rows = work.states.chunks_exact(ended.width).zip(gate_inputs.chunks_exact(self.config.hidden_size));
        for (mut token, (states, gate_input)) in std::mem::take(active).into_iter().zip(rows) {
            let logit = (vector::dot(&self.gate, gate_input) + self.gate_bias) / self.config.exit_temperature;
            let exits = token.exit.after_loop(logit) >= depth.threshold && spans[token.span].may_exit;
            stays.push(!exits);
            if !exits {
                active.push(token);
                continue;
            }
            loops_used[token.row] = loop_index + 1;
            if self.config.kv_reuse == KvReuse::None {
                for deeper in loop_index + 1..depth.loops {
                    spans[token.span].sequence.copy_loop(token.position, loop_index, deeper);
                }
            }
            ended.add(token, states);
        }
        work.keep(&stays);
    }
}

/// Tokens whose loops have ended.
struct Ended {
    tokens: Vec<Token>,
    /// States of each token after its own last loop, `[rows][width]`.
    states: Vec<f32>,
    width: usize,
}

impl Ended {
    fn add(&mut self, token: Token, states: &[f32]) {
        self.states[token.row * self.width..][..self.width].copy_from_slice(states);
        self.tokens.push(token);
    }
}

/// Multiply the changes of states by a factor per feature; every stream of a token has the same factors.
fn scale_changes(before: &[f32], scale: &[f32], states: &mut [f32]) {
    let width = scale.len();
    for (states, before) in states.chunks_exact_mut(width).zip(before.chunks_exact(width)) {
        for ((state, before), scale) in states.iter_mut().zip(before).zip(scale) {
            *state = before + scale * (*state - before);
        }
    }
}
