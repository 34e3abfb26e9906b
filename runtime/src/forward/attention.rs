//! Causal attention over the cache, in single precision.
//!
//! Sums run over positions and features in their order, so that a token's output is the same in a prompt, in a batch
//! and after a shared prefix.

use super::parallel::for_parts;
use super::vector::{add_scaled, exponentials, largest};
use crate::cache::{KeyValues, Sequence, Slot, TILE};
use crate::pool::Pool;

/// Tokens of a text that are computed together.
const BLOCK: usize = 16;
/// Rows whose scores are computed together, so that keys and values are loaded once for all of them.
const ROWS: usize = 4;

/// Features of the values that are added up together.
const WIDTH: usize = 64;

/// Sizes of the attention.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads.
    pub key_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
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
    let AttentionShape { heads, key_heads, head_dim } = shape;
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
        part.compute(slot, group, head_dim, queries, query_stride, output);
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
        group: usize,
        head_dim: usize,
        queries: &[f32],
        query_stride: usize,
        output: &mut [f32],
    ) {
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
                let (tiles, mut first_tile) = ((end - start).div_ceil(TILE), 0);
                if rows == 1 {
                    first_tile = tiles / ROWS * ROWS;
                    let several = keys.chunks_exact(head_dim * TILE * ROWS).take(tiles / ROWS);
                    for (number, several) in several.enumerate() {
                        let found = several_tile_scores(queries, head_dim, several);
                        let position = start + number * ROWS * TILE;
                        let width = (ROWS * TILE).min(end - position);
                        scores[position..position + width].copy_from_slice(&found.as_flattened()[..width]);
                    }
                }
                for (number, tile) in keys.chunks_exact(head_dim * TILE).enumerate().take(tiles).skip(first_tile) {
                    let position = start + number * TILE;
                    let found = tile_scores(queries, rows, head_dim, tile);
                    let width = TILE.min(end - position);
                    for (row, found) in found.iter().enumerate().take(rows) {
                        scores[row * longest + position..][..width].copy_from_slice(&found[..width]);
                    }
                }
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
                weighted_values(&scores, longest, start..end, values, head_dim, outputs);
            }
            for (outputs, inverse) in outputs.chunks_exact_mut(head_dim).zip(inverses) {
                outputs.iter_mut().for_each(|output| *output *= inverse);
            }
        }
    }
}

/// Return the products of up to [`ROWS`] queries with the keys of a tile.
fn tile_scores(queries: &[f32], rows: usize, head_dim: usize, tile: &[f32]) -> [[f32; TILE]; ROWS] {
    let mut sums = [[0.0; TILE]; ROWS];
    if rows == ROWS {
        let (first, rest) = queries.split_at(head_dim);
        let (second, rest) = rest.split_at(head_dim);
        let (third, fourth) = rest.split_at(head_dim);
        let factors = first.iter().zip(second).zip(third).zip(fourth);
        for ((((a, b), c), d), keys) in factors.zip(tile.chunks_exact(TILE)) {
            for lane in 0..TILE {
                sums[0][lane] += a * keys[lane];
                sums[1][lane] += b * keys[lane];
                sums[2][lane] += c * keys[lane];
                sums[3][lane] += d * keys[lane];
            }
        }
        return sums;
    }
    for (sums, query) in sums.iter_mut().zip(queries.chunks_exact(head_dim)) {
        for (factor, keys) in query.iter().zip(tile.chunks_exact(TILE)) {
            for lane in 0..TILE {
                sums[lane] += factor * keys[lane];
            }
        }
    }
    sums
}

/// Return the products of one query with the keys of [`ROWS`] tiles, whose sums do not wait for each other.
fn several_tile_scores(query: &[f32], head_dim: usize, tiles: &[f32]) -> [[f32; TILE]; ROWS] {
    let mut sums = [[0.0; TILE]; ROWS];
    let (first, rest) = tiles.split_at(head_dim * TILE);
    let (second, rest) = rest.split_at(head_dim * TILE);
    let (third, fourth) = rest.split_at(head_dim * TILE);
    let keys = first.chunks_exact(TILE).zip(second.chunks_exact(TILE));
    let keys = keys.zip(third.chunks_exact(TILE)).zip(fourth.chunks_exact(TILE));
    for (factor, (((a, b), c), d)) in query.iter().zip(keys) {
        for lane in 0..TILE {
            sums[0][lane] += factor * a[lane];
            sums[1][lane] += factor * b[lane];
            sums[2][lane] += factor * c[lane];
            sums[3][lane] += factor * d[lane];
        }
    }
    sums
}

/// Add the values of the positions, weighted by the scores, to the output of each row.
fn weighted_values(
    scores: &[f32],
    stride: usize,
    positions: std::ops::Range<usize>,
    values: &[f32],
    head_dim: usize,
    outputs: &mut [f32],
) {
    let start = positions.start;
    for (row, output) in outputs.chunks_exact_mut(head_dim).enumerate() {
        let weights = &scores[row * stride + start..row * stride + positions.end];
        let mut feature = 0;
        // The sums of a few features stay in registers for all positions.
        while feature + WIDTH <= head_dim {
            let mut sums: [f32; WIDTH] = std::array::from_fn(|lane| output[feature + lane]);
            for (weight, value) in weights.iter().zip(values.chunks_exact(head_dim)) {
                let value: &[f32; WIDTH] = value[feature..feature + WIDTH].try_into().expect("a slice of this width");
                for lane in 0..WIDTH {
                    sums[lane] += weight * value[lane];
                }
            }
            output[feature..feature + WIDTH].copy_from_slice(&sums);
            feature += WIDTH;
        }
        for (weight, value) in weights.iter().zip(values.chunks_exact(head_dim)) {
            add_scaled(&mut output[feature..], *weight, &value[feature..]);
        }
    }
}
