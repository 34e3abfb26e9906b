//! One transformer block on the tokens of a pass.

use super::attention::{attend, AttentionShape, Run};
use super::exit::ExitState;
use super::linear::{Input, Linear};
use super::norm::RmsNorm;
use super::parallel::for_rows;
use super::rope::Rotation;
use super::streams::Streams;
use super::vector::swiglu;
use super::Span;
use crate::cache::Slot;
use crate::pool::Pool;

/// Weights of a block.
pub struct Block {
    /// Sizes of the attention.
    pub shape: AttentionShape,
    /// Queries, keys and values, one below the other.
    pub qkv: Linear,
    /// Norms of a query and of a key head, before the rotation (`qk_norm`).
    pub head_norms: Option<[RmsNorm; 2]>,
    /// Output of the attention.
    pub output: Linear,
    /// Gate and up projection, one below the other.
    pub gate_up: Linear,
    /// Down projection.
    pub down: Linear,
    /// Norms before attention and MLP.
    pub norms: [RmsNorm; 2],
    /// Norms after attention and MLP (`sandwich_norm`).
    pub post_norms: Option<[RmsNorm; 2]>,
    /// Residual streams of attention and MLP; `None` for a plain residual connection.
    pub streams: Option<[Streams; 2]>,
}

/// A token of a pass that has not left.
pub struct Token {
    /// Index of its text in the pass.
    pub span: usize,
    /// Index among the new tokens of its text.
    pub index: usize,
    /// Position in the text.
    pub position: usize,
    /// Row of the result.
    pub row: usize,
    /// Rotation of its position.
    pub rotation: Rotation,
    /// Its exit probability so far.
    pub exit: ExitState,
}

/// Hidden states and reused memory of a pass.
#[derive(Default)]
pub struct Workspace {
    /// Hidden states, `[tokens][streams * hidden]`.
    pub states: Vec<f32>,
    width: usize,
    input: Input,
    projected: Vec<f32>,
    attended: Vec<f32>,
    branch: Vec<f32>,
    scratch: Vec<f32>,
}

impl Workspace {
    /// Create the states of a number of tokens, all zero.
    pub fn new(tokens: usize, width: usize) -> Self {
        Workspace { states: vec![0.0; tokens * width], width, ..Workspace::default() }
    }

    /// Keep the states of some tokens.
    pub fn keep(&mut self, stays: &[bool]) {
        let mut kept = 0;
        for (token, _) in stays.iter().enumerate().filter(|(_, stays)| **stays) {
            self.states.copy_within(token * self.width..(token + 1) * self.width, kept * self.width);
            kept += 1;
        }
        self.states.truncate(kept * self.width);
    }
}

/// The two sublayers of a block.
const ATTENTION: usize = 0;
const MLP: usize = 1;

impl Block {
    /// Bytes of the matrices.
    pub fn bytes(&self) -> usize {
        [&self.qkv, &self.output, &self.gate_up, &self.down].into_iter().map(Linear::bytes).sum()
    }

    /// Apply the block to the states of the tokens, and write their keys and values.
    pub fn apply(&self, pool: &Pool, spans: &mut [Span<'_>], tokens: &[Token], slot: Slot, work: &mut Workspace) {
        self.sublayer(pool, ATTENTION, tokens.len(), work, |work| self.attention(pool, spans, tokens, slot, work));
        self.sublayer(pool, MLP, tokens.len(), work, |work| self.mlp(pool, tokens.len(), work));
    }

    /// Apply norms and residual connection around a branch, which reads `work.input` and writes `work.branch`.
    fn sublayer(
        &self,
        pool: &Pool,
        index: usize,
        tokens: usize,
        work: &mut Workspace,
        branch: impl FnOnce(&mut Workspace),
    ) {
        let (width, norm) = (work.width, &self.norms[index]);
        let post = self.post_norms.as_ref().map(|norms| &norms[index]);
        let after_norm = |output: &mut [f32]| {
            if let Some(post) = post {
                let before = output.to_vec();
                post.apply(&before, output);
            }
        };
        let Some(streams) = self.streams.as_ref().map(|streams| &streams[index]) else {
            let states = &work.states;
            let input = work.input.reset(tokens, width);
            for_rows(pool, input, width, &|row, input| norm.apply(&states[row * width..][..width], input));
            branch(work);
            let output = &mut work.branch;
            if post.is_some() {
                for_rows(pool, output, width, &|_, output| after_norm(output));
            }
            work.states.iter_mut().zip(output.iter()).for_each(|(state, output)| *state += output);
            return;
        };
        let coefficients = streams.coefficients(pool, &work.states, tokens);
        let hidden = width / streams.count();
        let states = &work.states;
        let input = work.input.reset(tokens, hidden);
        for_rows(pool, input, hidden, &|row, input| {
            let mut mixed = vec![0.0; hidden];
            coefficients.read(row, &states[row * width..][..width], &mut mixed);
            norm.apply(&mixed, input);
        });
        branch(work);
        let output = &mut work.branch;
        if post.is_some() {
            for_rows(pool, output, hidden, &|_, output| after_norm(output));
        }
        for_rows(pool, &mut work.states, width, &|row, states| {
            coefficients.write(row, states, &output[row * hidden..][..hidden]);
        });
    }

    fn attention(&self, pool: &Pool, spans: &mut [Span<'_>], tokens: &[Token], slot: Slot, work: &mut Workspace) {
        let AttentionShape { heads, key_heads, head_dim, .. } = self.shape;
        let (queries, keys) = (heads * head_dim, key_heads * head_dim);
        let stride = queries + 2 * keys;
        self.qkv.apply(pool, &mut work.input, &mut work.projected);
        for_rows(pool, &mut work.projected, stride, &|row, projected| {
            for (index, head) in projected[..queries + keys].chunks_exact_mut(head_dim).enumerate() {
                if let Some([query_norm, key_norm]) = &self.head_norms {
                    if index < heads { query_norm } else { key_norm }.apply_in_place(head);
                }
                tokens[row].rotation.apply(head);
            }
        });
        for (token, projected) in tokens.iter().zip(work.projected.chunks_exact(stride)) {
            let (key, value) = projected[queries..].split_at(keys);
            spans[token.span].sequence.write(slot, token.position, key, value);
        }
        // Tokens of a text are adjacent, and none of a prompt leaves early.
        let mut runs: Vec<Run<'_>> = Vec::new();
        let mut last = None;
        for token in tokens {
            match runs.last_mut() {
                Some(run) if last == Some(token.span) => run.rows += 1,
                _ => runs.push(Run { sequence: &*spans[token.span].sequence, position: token.position, rows: 1 }),
            }
            last = Some(token.span);
        }
        work.attended.resize(tokens.len() * queries, 0.0);
        let projected = (work.projected.as_slice(), stride);
        attend(pool, self.shape, slot, &runs, projected, &mut work.scratch, &mut work.attended);
        work.input.reset(tokens.len(), queries).copy_from_slice(&work.attended);
        self.output.apply(pool, &mut work.input, &mut work.branch);
    }

    fn mlp(&self, pool: &Pool, tokens: usize, work: &mut Workspace) {
        self.gate_up.apply(pool, &mut work.input, &mut work.projected);
        let inner = work.projected.len() / tokens / 2;
        let projected = &work.projected;
        let input = work.input.reset(tokens, inner);
        for_rows(pool, input, inner, &|row, input| {
            let (gate, up) = projected[row * 2 * inner..][..2 * inner].split_at(inner);
            input.copy_from_slice(gate);
            swiglu(input, up);
        });
        self.down.apply(pool, &mut work.input, &mut work.branch);
    }
}
