//! Products of int8 weights with 16-bit activations.
//!
//! Sums of [`CHUNK`] inputs are exact integers, which are then added as f32, in order. So the result is the same for
//! every instruction set.

use super::output::Columns;
use super::pairs::Pairs;
use super::{Isa, BLOCK_ROWS, PREFETCH_BYTES};
use std::ops::Range;

/// Pairs of inputs whose products fit into 32 bits: 2 * 256 * 127 * 32767 < 2^31.
const CHUNK: usize = 256;
/// Largest level of an activation.
pub(crate) const LARGEST: f32 = 32767.0;

/// The weights of two inputs for each output of a block.
pub(crate) type Weights = [[i8; 2]; BLOCK_ROWS];

/// Arguments of a product.
#[derive(Clone)]
pub(crate) struct Int8Product<'a> {
    /// Blocks `[row_blocks][pairs]`.
    pub(crate) weights: &'a [Weights],
    /// Scales of the outputs, `[row_blocks][BLOCK_ROWS]`.
    pub(crate) scales: &'a [f32],
    /// Number of pairs of inputs.
    pub(crate) pairs: usize,
    /// Levels of the activations, `[rows][pairs]`.
    pub(crate) levels: &'a [[i16; 2]],
    /// Scales of the activations.
    pub(crate) row_scales: &'a [f32],
    pub(crate) row_blocks: Range<usize>,
}

/// Round a row of activations to 16 bits, and return its scale.
pub(crate) fn round_row(x: &[f32], levels: &mut [[i16; 2]]) -> f32 {
    // As integers, magnitudes have the same order, and NaN is the largest.
    let largest = x.iter().fold(0, |largest: u32, value| largest.max(value.to_bits() & 0x7fff_ffff));
    let largest = f32::from_bits(largest);
    let scale = if largest < f32::MIN_POSITIVE * LARGEST { f32::MIN_POSITIVE } else { largest / LARGEST };
    // Adding 1.5 * 2**23 rounds a small number to an integer, ties to even, which is then in the lowest bits.
    for (level, value) in levels.as_flattened_mut().iter_mut().zip(x) {
        *level = (value / scale + 12_582_912.0).to_bits() as u16 as i16;
    }
    scale
}

/// Multiply all rows of activations by row blocks of a matrix.
pub(crate) fn int8(isa: Isa, product: Int8Product<'_>, out: &Columns<'_>) {
    super::float::per_isa!(isa, int8_body, super::pairs, (product: Int8Product<'_>, out: &Columns<'_>));
}

#[inline(always)]
fn int8_body<P: Pairs>(product: Int8Product<'_>, out: &Columns<'_>) {
    for block in product.row_blocks.clone() {
        let mut row = 0;
        while row < out.rows() {
            row += match out.rows() - row {
                4.. => tile::<P, 4>(&product, block, row, out),
                2.. => tile::<P, 2>(&product, block, row, out),
                _ => tile::<P, 1>(&product, block, row, out),
            };
        }
    }
}

/// Multiply `ROWS` rows by a row block, and return `ROWS`.
#[inline(always)]
fn tile<P: Pairs, const ROWS: usize>(product: &Int8Product<'_>, block: usize, row: usize, out: &Columns<'_>) -> usize {
    let pairs = product.pairs;
    let weights = &product.weights[block * pairs..][..pairs];
    let scales = &product.scales[block * BLOCK_ROWS..][..BLOCK_ROWS];
    let levels = &product.levels[row * pairs..][..ROWS * pairs];
    let mut totals = [[0f32; BLOCK_ROWS]; ROWS];
    for start in (0..pairs).step_by(CHUNK) {
        let end = pairs.min(start + CHUNK);
        // SAFETY: the processor has the instructions of `P`: `per_isa` has chosen it. `pair` is below `pairs`, the
        // length of `weights` and of each row of `levels`.
        unsafe {
            let mut sums = [P::zero(); ROWS];
            for pair in start..end {
                P::prefetch(weights.as_ptr().wrapping_add(pair + PREFETCH_BYTES / size_of::<Weights>()));
                let weights = P::load(weights.get_unchecked(pair));
                for r in 0..ROWS {
                    sums[r] = P::multiply_add(weights, *levels.get_unchecked(r * pairs + pair), sums[r]);
                }
            }
            for r in 0..ROWS {
                let sums = P::values(sums[r]);
                for output in 0..BLOCK_ROWS {
                    totals[r][output] += sums[output] as f32;
                }
            }
        }
    }
    for (r, values) in totals.iter_mut().enumerate() {
        let row_scale = product.row_scales[row + r];
        for (value, scale) in values.iter_mut().zip(scales) {
            *value = *value * row_scale * scale;
        }
        // SAFETY: each row block is given to one thread.
        unsafe { out.store(row + r, block * BLOCK_ROWS, values) };
    }
    ROWS
}
