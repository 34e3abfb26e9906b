//! Products of attention: queries with keys, and scores with values, in f32.
//!
//! A sum runs over the features or positions in order, whatever the number of rows that are computed together.

use super::float::per_isa;
use super::lanes::Lanes;
use super::{Isa, BLOCK_ROWS, PREFETCH_BYTES};

/// Positions whose keys are interleaved.
pub(crate) const TILE: usize = BLOCK_ROWS;
/// Positions whose values are added up for all rows before the next ones, so that these are in the fastest cache.
const POSITIONS: usize = 64;

/// Arguments of [`scores`].
pub(crate) struct Scores<'a> {
    /// Queries, `[rows][head_dim]`.
    pub(crate) queries: &'a [f32],
    pub(crate) head_dim: usize,
    /// Keys, `[tiles][head_dim][TILE]`.
    pub(crate) keys: &'a [f32],
    /// Where the scores of a row begin, `[rows][stride]`; whole tiles are written.
    pub(crate) scores: &'a mut [f32],
    pub(crate) stride: usize,
}

/// Write the products of all queries with all keys.
///
/// # Panics
///
/// A length does not match.
pub(crate) fn scores(isa: Isa, product: Scores<'_>) {
    let rows = product.queries.len() / product.head_dim;
    let width = product.keys.len() / product.head_dim;
    assert!(product.queries.len() == rows * product.head_dim && product.keys.len() == width * product.head_dim);
    assert!(width.is_multiple_of(TILE) && rows > 0);
    assert!(product.scores.len() >= (rows - 1) * product.stride + width);
    per_isa!(isa, scores_body, super::lanes, (product: Scores<'_>));
}

#[inline(always)]
fn scores_body<L: Lanes>(mut product: Scores<'_>) {
    let rows = product.queries.len() / product.head_dim;
    let tiles = product.keys.len() / product.head_dim / TILE;
    let mut tile = 0;
    while tile < tiles {
        // Sums that do not wait for each other, also for a single row.
        if rows == 1 && tiles - tile >= 4 {
            tile_scores::<L, 1, 4>(&mut product, 0, tile);
            tile += 4;
            continue;
        }
        let mut row = 0;
        while row < rows {
            row += match rows - row {
                4.. => tile_scores::<L, 4, 1>(&mut product, row, tile),
                2.. => tile_scores::<L, 2, 1>(&mut product, row, tile),
                _ => tile_scores::<L, 1, 1>(&mut product, row, tile),
            };
        }
        tile += 1;
    }
}

/// Write the scores of `ROWS` rows and `TILES` tiles, and return `ROWS`.
#[inline(always)]
fn tile_scores<L: Lanes, const ROWS: usize, const TILES: usize>(
    product: &mut Scores<'_>,
    row: usize,
    tile: usize,
) -> usize {
    let dim = product.head_dim;
    let queries = &product.queries[row * dim..][..ROWS * dim];
    let (keys, _) = product.keys[tile * dim * TILE..][..TILES * dim * TILE].as_chunks::<TILE>();
    // SAFETY: the processor has the instructions of `L`: `per_isa` has chosen it. `feature` is below `dim`; there are
    // `ROWS * dim` numbers in `queries` and `TILES * dim` chunks in `keys`.
    unsafe {
        let mut sums = [[L::zero(); TILES]; ROWS];
        for feature in 0..dim {
            for t in 0..TILES {
                let keys = keys.get_unchecked(t * dim + feature);
                L::prefetch(keys.as_ptr().wrapping_byte_add(PREFETCH_BYTES));
                let keys = L::load_f32(keys);
                for r in 0..ROWS {
                    sums[r][t] = L::multiply_add(keys, *queries.get_unchecked(r * dim + feature), sums[r][t]);
                }
            }
        }
        for r in 0..ROWS {
            for t in 0..TILES {
                let start = (row + r) * product.stride + (tile + t) * TILE;
                product.scores[start..start + TILE].copy_from_slice(&sums[r][t].values());
            }
        }
    }
    ROWS
}

/// Arguments of [`weighted_values`].
pub(crate) struct WeightedValues<'a> {
    /// Weights of the positions, `[rows][stride]`, of which the first `positions` are used.
    pub(crate) weights: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) positions: usize,
    /// Values, `[positions][head_dim]`.
    pub(crate) values: &'a [f32],
    pub(crate) head_dim: usize,
    /// Sums, `[rows][head_dim]`, to which the products are added.
    pub(crate) outputs: &'a mut [f32],
}

/// Add the weighted values of all positions to the output of each row.
///
/// # Panics
///
/// A length does not match.
pub(crate) fn weighted_values(isa: Isa, product: WeightedValues<'_>) {
    let rows = product.outputs.len() / product.head_dim;
    assert!(rows > 0 && product.outputs.len() == rows * product.head_dim);
    assert!(product.values.len() >= product.positions * product.head_dim);
    assert!(product.weights.len() >= (rows - 1) * product.stride + product.positions);
    per_isa!(isa, weighted_values_body, super::lanes, (product: WeightedValues<'_>));
}

#[inline(always)]
fn weighted_values_body<L: Lanes>(product: WeightedValues<'_>) {
    let (dim, outputs) = (product.head_dim, product.outputs);
    for start in (0..product.positions).step_by(POSITIONS) {
        let end = product.positions.min(start + POSITIONS);
        let values = &product.values[start * dim..end * dim];
        for row in 0..outputs.len() / dim {
            let output = &mut outputs[row * dim..][..dim];
            let weights = &product.weights[row * product.stride..][start..end];
            let mut feature = 0;
            while feature + 4 * TILE <= dim {
                add_features::<L, 4>(weights, values, dim, feature, output);
                feature += 4 * TILE;
            }
            while feature + TILE <= dim {
                add_features::<L, 1>(weights, values, dim, feature, output);
                feature += TILE;
            }
            for feature in feature..dim {
                for position in 0..weights.len() {
                    output[feature] += weights[position] * values[position * dim + feature];
                }
            }
        }
    }
}

/// Add `GROUPS` times 16 features of all positions; their sums stay in registers.
#[inline(always)]
fn add_features<L: Lanes, const GROUPS: usize>(
    weights: &[f32],
    values: &[f32],
    dim: usize,
    feature: usize,
    output: &mut [f32],
) {
    assert!(values.len() == weights.len() * dim && feature + GROUPS * TILE <= dim && output.len() == dim);
    // SAFETY: the processor has the instructions of `L`: `per_isa` has chosen it. The features are within the rows of
    // `dim` numbers (asserted).
    unsafe {
        let mut sums = [L::zero(); GROUPS];
        for g in 0..GROUPS {
            sums[g] = L::load_f32(&*output.as_ptr().add(feature + g * TILE).cast());
        }
        for position in 0..weights.len() {
            let weight = *weights.get_unchecked(position);
            for g in 0..GROUPS {
                let values = values.as_ptr().add(position * dim + feature + g * TILE);
                L::prefetch(values.wrapping_byte_add(PREFETCH_BYTES));
                let values = L::load_f32(&*values.cast());
                sums[g] = L::multiply_add(values, weight, sums[g]);
            }
        }
        for g in 0..GROUPS {
            output[feature + g * TILE..][..TILE].copy_from_slice(&sums[g].values());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i + seed).wrapping_mul(2_654_435_761) % 1000) as f32 / 500.0 - 1.0).collect()
    }

    fn available() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available())
    }

    #[test]
    fn scores_are_products_of_queries_and_keys_and_do_not_depend_on_the_other_rows() {
        for (rows, head_dim, tiles) in [(1, 12, 9), (2, 64, 1), (7, 33, 5)] {
            let (queries, keys) = (numbers(rows * head_dim, 0), numbers(tiles * head_dim * TILE, 7));
            let stride = tiles * TILE + 3;
            for isa in available() {
                let mut all = vec![f32::NAN; rows * stride];
                scores(isa, Scores { queries: &queries, head_dim, keys: &keys, scores: &mut all, stride });
                for row in 0..rows {
                    let queries = &queries[row * head_dim..][..head_dim];
                    let mut alone = vec![f32::NAN; tiles * TILE];
                    scores(isa, Scores { queries, head_dim, keys: &keys, scores: &mut alone, stride: 0 });
                    assert_eq!(all[row * stride..][..tiles * TILE], alone, "{isa:?}");
                    for (position, found) in alone.iter().enumerate() {
                        let key =
                            |feature: usize| keys[(position / TILE * head_dim + feature) * TILE + position % TILE];
                        let expected: f32 = (0..head_dim).map(|feature| queries[feature] * key(feature)).sum();
                        assert!((found - expected).abs() < 1e-5 * head_dim as f32, "{isa:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn weighted_values_are_added_for_each_row_as_if_it_were_alone() {
        for (rows, head_dim, positions) in [(1, 12, 9), (2, 64, 1), (3, 97, 150)] {
            let stride = positions + 2;
            let (weights, values) = (numbers(rows * stride, 1), numbers(positions * head_dim, 5));
            for isa in available() {
                let mut all = vec![1.0; rows * head_dim];
                let (weights, values, outputs) = (&weights[..], &values[..], &mut all[..]);
                weighted_values(isa, WeightedValues { weights, stride, positions, values, head_dim, outputs });
                for row in 0..rows {
                    let weights = &weights[row * stride..][..positions];
                    let mut alone = vec![1.0; head_dim];
                    let outputs = &mut alone[..];
                    weighted_values(isa, WeightedValues { weights, stride: 0, positions, values, head_dim, outputs });
                    assert_eq!(all[row * head_dim..][..head_dim], alone, "{isa:?}");
                    for (feature, found) in alone.iter().enumerate() {
                        let products = (0..positions).map(|i| weights[i] * values[i * head_dim + feature]);
                        assert!((found - 1.0 - products.sum::<f32>()).abs() < 1e-5 * positions as f32, "{isa:?}");
                    }
                }
            }
        }
    }
}
