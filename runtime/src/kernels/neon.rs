//! Ternary product with the dot product instructions of 64-bit Arm.
//!
//! A vector has four inputs of each of four outputs, and an instruction adds their products with four activations to
//! four sums.

use super::output::Columns;
use super::{TernaryProduct, BLOCK_BYTES, BLOCK_COLS, BLOCK_ROWS};
use std::arch::aarch64::*;
use std::arch::asm;
use std::ops::Range;

/// # Safety
///
/// The processor has the features, `product` was checked by `TernaryProduct::new`, and the ranges by
/// `TernaryProduct::check`.
#[target_feature(enable = "neon,dotprod")]
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
                    4.. => tile::<4>(product, row_block, row, out),
                    2.. => tile::<2>(product, row_block, row, out),
                    _ => tile::<1>(product, row_block, row, out),
                };
            }
        }
    }
}

/// Multiply `ROWS` rows of activations by one row block, and return `ROWS`.
///
/// # Safety
///
/// As for [`ternary`]; the row block and the rows from the given one on exist.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn tile<const ROWS: usize>(
    product: &TernaryProduct<'_>,
    row_block: usize,
    row: usize,
    out: &Columns<'_>,
) -> usize {
    let (groups, group_blocks, stride) = (product.groups, product.group_blocks, product.stride);
    let mut totals = [[vdupq_n_f32(0.0); 4]; ROWS];
    // SAFETY: `blocks` has 64 bytes per block and `scales` 64 bytes per group for each row block, `codes` has
    // `stride` bytes, at least all columns, and `negative_sums` one number per group for each row.
    unsafe {
        let blocks = product.blocks.as_ptr().add(row_block * groups * group_blocks * BLOCK_BYTES);
        let scales = product.scales.as_ptr().add(row_block * groups * BLOCK_ROWS);
        let codes = product.codes.as_ptr().add(row * stride);
        let negative_sums = product.negative_sums.as_ptr().add(row * groups);
        for group in 0..groups {
            let mut sums = [[vdupq_n_s32(0); 4]; ROWS];
            for r in 0..ROWS {
                sums[r] = [vdupq_n_s32(*negative_sums.add(r * groups + group)); 4];
            }
            for block in group * group_blocks..(group + 1) * group_blocks {
                let mut inputs = [vdupq_n_s8(0); ROWS];
                for r in 0..ROWS {
                    inputs[r] = vld1q_s8(codes.add(r * stride + block * BLOCK_COLS));
                }
                for quarter in 0..4 {
                    let packed = vld1q_u8(blocks.add(block * BLOCK_BYTES + 16 * quarter));
                    let low = vdupq_n_u8(3);
                    let weights = [
                        vandq_u8(packed, low),
                        vandq_u8(vshrq_n_u8::<2>(packed), low),
                        vandq_u8(vshrq_n_u8::<4>(packed), low),
                        vshrq_n_u8::<6>(packed),
                    ]
                    .map(|codes| vreinterpretq_s8_u8(codes));
                    for r in 0..ROWS {
                        let sum = &mut sums[r][quarter];
                        *sum = dot::<0>(*sum, weights[0], inputs[r]);
                        *sum = dot::<1>(*sum, weights[1], inputs[r]);
                        *sum = dot::<2>(*sum, weights[2], inputs[r]);
                        *sum = dot::<3>(*sum, weights[3], inputs[r]);
                    }
                }
            }
            for quarter in 0..4 {
                let scales = vld1q_f32(scales.add(group * BLOCK_ROWS + 4 * quarter));
                for r in 0..ROWS {
                    // Two operations, because a fused one rounds differently.
                    let part = vmulq_f32(vcvtq_f32_s32(sums[r][quarter]), scales);
                    totals[r][quarter] = vaddq_f32(totals[r][quarter], part);
                }
            }
        }
        for (r, totals) in totals.iter().enumerate() {
            let mut values = [0f32; BLOCK_ROWS];
            for quarter in 0..4 {
                let scaled = vmulq_n_f32(totals[quarter], product.row_scales[row + r]);
                vst1q_f32(values.as_mut_ptr().add(4 * quarter), scaled);
            }
            // Each row block is given to one thread.
            out.store(row + r, row_block * BLOCK_ROWS, &values);
        }
    }
    ROWS
}

/// Add the products of four inputs of four outputs with the four activations of a quarter of `inputs`.
///
/// The function of the standard library for this instruction is not stable.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot<const QUARTER: i32>(sums: int32x4_t, weights: int8x16_t, inputs: int8x16_t) -> int32x4_t {
    let mut result = sums;
    // SAFETY: the instruction reads and writes these registers only, and the caller has the feature.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {weights:v}.16b, {inputs:v}.4b[{quarter}]",
            sums = inout(vreg) result,  // codespell:ignore inout
            weights = in(vreg) weights,
            inputs = in(vreg) inputs,
            quarter = const QUARTER,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    result
}
