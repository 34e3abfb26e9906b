//! Causal attention over the cache, in single precision.
//!
//! Sums run over positions and features in their order, so that a token's output is the same in a prompt, in a batch
//! and after a shared prefix.

use super::parallel::for_parts;
use super::vector::{exponentials, largest};
use crate::cache::{KeyValues, Sequence, Slot, TILE};
use crate::kernels::attention::{self as kernels, Scores, WeightedValues};
use crate::kernels::Isa;
use crate::pool::Pool;

/// Tokens of a text that are computed together.
const BLOCK: usize = 16;
/// Rows whose scores are computed together, so that keys and values are loaded once for all of them.
const ROWS: usize = 4;

/// Sizes of the attention.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads.
    pub key_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Instructions of the products.
    pub isa: Isa,
}

/// Consecutive rows of queries that belong to consecutive positions of one text.
pub struct Run<'a> {
    /// The text's cache, to which the keys and values of the positions are already written.
    pub sequence: &'a Sequence,
    /// Position of the first row.
    pub position: usize,
    /// Number of rows.
    pub rows: usize,
}

/// A block of rows and one key head, the unit that is shared among threads.
struct Part<'a> {
    sequence: &'a Sequence,
    position: usize,
    row: usize,
    rows: usize,
    key_head: usize,
}

/// Compute the attention of all runs.
///
/// `queries` and `outputs` have the shape `(rows, heads * head_dim)`; `query_stride` is the distance between rows of
/// `queries`. `scratch` is reused memory.
pub fn attend(
    pool: &Pool,
    shape: AttentionShape,
    slot: Slot,
    runs: &[Run<'_>],
    (queries, query_stride): (&[f32], usize),
    scratch: &mut Vec<f32>,
    outputs: &mut [f32],
) {
    let AttentionShape { heads, key_heads, head_dim, .. } = shape;
    let group = heads / key_heads;
    let mut parts = Vec::new();
    let mut row = 0;
    for run in runs {
        for start in (0..run.rows).step_by(BLOCK) {
            let rows = BLOCK.min(run.rows - start);
            for key_head in 0..key_heads {
                let (sequence, position) = (run.sequence, run.position + start);
                parts.push(Part { sequence, position, row: row + start, rows, key_head });
            }
        }
        row += run.rows;
    }
    let lengths: Vec<usize> = parts.iter().map(|part| part.rows * group * head_dim).collect();
    scratch.clear();
    scratch.resize(lengths.iter().sum(), 0.0);
    for_parts(pool, scratch, &lengths, &|index, output| {
        let part = &parts[index];
        part.compute(slot, shape, queries, query_stride, output);
    });
    let mut rest = scratch.as_slice();
    for (part, length) in parts.iter().zip(&lengths) {
        let (found, after) = rest.split_at(*length);
        rest = after;
        for (row, values) in found.chunks_exact(group * head_dim).enumerate() {
            let start = (part.row + row) * heads * head_dim + part.key_head * group * head_dim;
            outputs[start..start + group * head_dim].copy_from_slice(values);
        }
    }
}

impl Part<'_> {
    /// Write the outputs, `[rows][group][head_dim]`.
    fn compute(
        &self,
        slot: Slot,
        AttentionShape { heads, key_heads, head_dim, isa }: AttentionShape,
        queries: &[f32],
        query_stride: usize,
        output: &mut [f32],
    ) {
        let group = heads / key_heads;
        let scaling = (head_dim as f64).powf(-0.5) as f32;
        let total = self.rows * group;
        // The queries of a row and of the heads of the group, with the scaling.
        let mut scaled = Vec::with_capacity(total * head_dim);
        for row in self.row..self.row + self.rows {
            let start = row * query_stride + self.key_head * group * head_dim;
            scaled.extend(queries[start..start + group * head_dim].iter().map(|value| value * scaling));
        }
        let longest = (self.position + self.rows).next_multiple_of(TILE) + TILE;
        let mut scores = vec![0.0; ROWS * longest];
        let (prefix, own) = self.sequence.parts();
        let shared = prefix.map_or(0, KeyValues::len);
        let segments = prefix.into_iter().map(|part| (0, part)).chain([(shared, own)]);
        let segments: Vec<_> = segments.map(|(start, part)| (start, part.head(slot, self.key_head))).collect();
        for first in (0..total).step_by(ROWS) {
            let rows = ROWS.min(total - first);
            let queries = &scaled[first * head_dim..(first + rows) * head_dim];
            let outputs = &mut output[first * head_dim..(first + rows) * head_dim];
            // Number of positions that each row sees; they grow with the row.
            let visible: [usize; ROWS] = std::array::from_fn(|row| self.position + (first + row) / group + 1);
            let most = visible[rows - 1];
            for (index, &(start, (keys, _))) in segments.iter().enumerate() {
                let end = segments.get(index + 1).map_or(most, |next| next.0);
                // Whole tiles: what is beyond the end is overwritten or never read.
                let keys = &keys[..(end - start).next_multiple_of(TILE) * head_dim];
                let scores = &mut scores[start..];
                kernels::scores(isa, Scores { queries, head_dim, keys, scores, stride: longest });
            }
            let mut inverses = [0.0; ROWS];
            for row in 0..rows {
                let seen = &mut scores[row * longest..][..visible[row]];
                let highest = largest(seen);
                inverses[row] = 1.0 / exponentials(seen, highest);
                // A later row of the block may see more positions.
                scores[row * longest + visible[row]..row * longest + most].fill(0.0);
            }
            for (index, &(start, (_, values))) in segments.iter().enumerate() {
                let end = segments.get(index + 1).map_or(most, |next| next.0);
                let (weights, stride, positions) = (&scores[start..], longest, end - start);
                let product = WeightedValues { weights, stride, positions, values, head_dim, outputs: &mut *outputs };
                kernels::weighted_values(isa, product);
            }
            for (outputs, inverse) in outputs.chunks_exact_mut(head_dim).zip(inverses) {
                outputs.iter_mut().for_each(|output| *output *= inverse);
            }
        }
    }
}
