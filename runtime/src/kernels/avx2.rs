//! Ternary product with AVX2.
//!
//! A vector has four inputs of each of 8 outputs. Codes in the lowest bits are multiplied as they are, and those above
//! them as four times the code, without a shift. 16-bit sums hold those products of 8 blocks
//! (2 inputs x 2 planes x 8 x 127 x 8 = 32512).

use super::output::Columns;
use super::{TernaryProduct, BLOCK_BYTES, BLOCK_COLS, BLOCK_ROWS, PREFETCH_BYTES};
use std::arch::x86_64::*;
use std::ops::Range;

/// Blocks that 16-bit sums can hold.
const CHUNK: usize = 8;

/// # Safety
///
/// The processor has the features, `product` was checked by `TernaryProduct::new`, and the ranges by
/// `TernaryProduct::check`.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn ternary(
    product: &TernaryProduct<'_>,
    row_blocks: Range<usize>,
    rows: Range<usize>,
    out: &Columns<'_>,
) {
    for row_block in row_blocks {
        let mut row = rows.start;
        // SAFETY: the tiles stay within the ranges of this function, which the caller has checked.
        unsafe {
            while row < rows.end {
                row += match rows.end - row {
                    4.. => tile::<4, 1>(product, row_block, row, out),
                    2.. => tile::<2, 1>(product, row_block, row, out),
                    _ => tile::<1, 2>(product, row_block, row, out),
                };
            }
        }
    }
}

/// Multiply `ROWS` rows of activations by `HALVES` halves of a row block at once, and return `ROWS`.
///
/// # Safety
///
/// As for [`ternary`]; the row block and the rows from the given one on exist.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn tile<const ROWS: usize, const HALVES: usize>(
    product: &TernaryProduct<'_>,
    row_block: usize,
    row: usize,
    out: &Columns<'_>,
) -> usize {
    let (groups, group_blocks, stride) = (product.groups, product.group_blocks, product.stride);
    let (low, high) = (_mm256_set1_epi8(3), _mm256_set1_epi8(12));
    let (ones, fours) = (_mm256_set1_epi16(1), _mm256_set1_epi16(4));
    let mut values = [[0f32; BLOCK_ROWS]; ROWS];
    // SAFETY: `blocks` has 64 bytes per block and `scales` 64 bytes per group for each row block, `codes` has
    // `stride` bytes, at least all columns, and `negative_sums` one number per group for each row.
    unsafe {
        let blocks = product.blocks.as_ptr().add(row_block * groups * group_blocks * BLOCK_BYTES);
        let scales = product.scales.as_ptr().add(row_block * groups * BLOCK_ROWS);
        let codes = product.codes.as_ptr().add(row * stride);
        let negative_sums = product.negative_sums.as_ptr().add(row * groups);
        for first in (0..2).step_by(HALVES) {
            let mut totals = [[_mm256_setzero_ps(); HALVES]; ROWS];
            for group in 0..groups {
                let mut sums = [[_mm256_setzero_si256(); HALVES]; ROWS];
                for r in 0..ROWS {
                    sums[r] = [_mm256_set1_epi32(4 * *negative_sums.add(r * groups + group)); HALVES];
                }
                let end = (group + 1) * group_blocks;
                let mut block = group * group_blocks;
                while block < end {
                    let chunk = end.min(block + CHUNK);
                    // Sums of products with the codes themselves, and with four times the codes.
                    let mut single = [[_mm256_setzero_si256(); HALVES]; ROWS];
                    let mut fourfold = [[_mm256_setzero_si256(); HALVES]; ROWS];
                    for block in block..chunk {
                        _mm_prefetch::<_MM_HINT_T0>(blocks.wrapping_add(block * BLOCK_BYTES + PREFETCH_BYTES).cast());
                        for half in 0..HALVES {
                            let packed =
                                _mm256_loadu_si256(blocks.add(block * BLOCK_BYTES + 32 * (first + half)).cast());
                            let upper = _mm256_srli_epi16::<4>(packed);
                            let weights = [
                                _mm256_and_si256(packed, low),
                                _mm256_and_si256(packed, high),
                                _mm256_and_si256(upper, low),
                                _mm256_and_si256(upper, high),
                            ];
                            for r in 0..ROWS {
                                let inputs = codes.add(r * stride + block * BLOCK_COLS);
                                for plane in 0..4 {
                                    let quad = inputs.add(4 * plane).cast::<i32>().read_unaligned();
                                    let pairs = _mm256_maddubs_epi16(weights[plane], _mm256_set1_epi32(quad));
                                    let sum = if plane % 2 == 0 { &mut single } else { &mut fourfold };
                                    sum[r][half] = _mm256_add_epi16(sum[r][half], pairs);
                                }
                            }
                        }
                    }
                    for r in 0..ROWS {
                        for half in 0..HALVES {
                            let single = _mm256_madd_epi16(single[r][half], fours);
                            let both = _mm256_add_epi32(single, _mm256_madd_epi16(fourfold[r][half], ones));
                            sums[r][half] = _mm256_add_epi32(sums[r][half], both);
                        }
                    }
                    block = chunk;
                }
                for half in 0..HALVES {
                    let scales = _mm256_loadu_ps(scales.add(group * BLOCK_ROWS + 8 * (first + half)));
                    for r in 0..ROWS {
                        // The sums are multiples of four.
                        let sum = _mm256_cvtepi32_ps(_mm256_srai_epi32::<2>(sums[r][half]));
                        totals[r][half] = _mm256_add_ps(totals[r][half], _mm256_mul_ps(sum, scales));
                    }
                }
            }
            for r in 0..ROWS {
                let scale = _mm256_set1_ps(product.row_scales[row + r]);
                for half in 0..HALVES {
                    let target = values[r].as_mut_ptr().add(8 * (first + half));
                    _mm256_storeu_ps(target, _mm256_mul_ps(totals[r][half], scale));
                }
            }
        }
    }
    for (r, values) in values.iter().enumerate() {
        // SAFETY: each row block is given to one thread.
        unsafe { out.store(row + r, row_block * BLOCK_ROWS, values) };
    }
    ROWS
}
