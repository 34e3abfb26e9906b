//! Ternary product with AVX-512 VNNI.
//!
//! A vector has four inputs of each of 16 outputs, and an instruction adds their products with four activations to
//! 16 sums. So a sum never has to be added up across a vector.

use super::output::Columns;
use super::{TernaryProduct, BLOCK_BYTES, BLOCK_COLS, BLOCK_ROWS, PREFETCH_BYTES};
use std::arch::x86_64::*;
use std::ops::Range;

/// # Safety
///
/// The processor has the features, `product` was checked by `TernaryProduct::new`, and the ranges by
/// `TernaryProduct::check`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(crate) unsafe fn ternary(
    product: &TernaryProduct<'_>,
    row_blocks: Range<usize>,
    rows: Range<usize>,
    out: &Columns<'_>,
) {
    let mut row_block = row_blocks.start;
    while row_block < row_blocks.end {
        let is_pair = row_blocks.end - row_block >= 2;
        let mut row = rows.start;
        // SAFETY: the tiles stay within the ranges of this function, which the caller has checked.
        unsafe {
            while row < rows.end {
                let left = rows.end - row;
                row += match (is_pair, left) {
                    (true, 8..) => tile::<8, 2>(product, row_block, row, out),
                    (true, 4..) => tile::<4, 2>(product, row_block, row, out),
                    (true, 2..) => tile::<2, 2>(product, row_block, row, out),
                    (true, _) => single::<2>(product, row_block, row, out),
                    (false, 8..) => tile::<8, 1>(product, row_block, row, out),
                    (false, 4..) => tile::<4, 1>(product, row_block, row, out),
                    (false, _) => single::<1>(product, row_block, row, out),
                };
            }
        }
        row_block += if is_pair { 2 } else { 1 };
    }
}

/// Multiply `ROWS` rows of activations by `BLOCKS` row blocks, and return `ROWS`.
///
/// # Safety
///
/// As for [`ternary`]; the row blocks and rows from the given ones on exist.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile<const ROWS: usize, const BLOCKS: usize>(
    product: &TernaryProduct<'_>,
    row_block: usize,
    row: usize,
    out: &Columns<'_>,
) -> usize {
    let (groups, group_blocks, stride) = (product.groups, product.group_blocks, product.stride);
    let row_bytes = groups * group_blocks * BLOCK_BYTES;
    let low = _mm512_set1_epi8(3);
    let mut totals = [[_mm512_setzero_ps(); BLOCKS]; ROWS];
    // SAFETY: `blocks` has `row_bytes` and `scales` 64 bytes times the groups for each row block, `codes` has
    // `stride` bytes, at least all columns, and `negative_sums` one number per group for each row.
    unsafe {
        let blocks = product.blocks.as_ptr().add(row_block * row_bytes);
        let scales = product.scales.as_ptr().add(row_block * groups * BLOCK_ROWS);
        let codes = product.codes.as_ptr().add(row * stride);
        let negative_sums = product.negative_sums.as_ptr().add(row * groups);
        for group in 0..groups {
            let mut sums = [[_mm512_setzero_si512(); BLOCKS]; ROWS];
            for r in 0..ROWS {
                sums[r] = [_mm512_set1_epi32(*negative_sums.add(r * groups + group)); BLOCKS];
            }
            for block in group * group_blocks..(group + 1) * group_blocks {
                let mut weights = [[low; 4]; BLOCKS];
                for b in 0..BLOCKS {
                    let packed = _mm512_loadu_si512(blocks.add(b * row_bytes + block * BLOCK_BYTES).cast());
                    weights[b] = [
                        _mm512_and_si512(packed, low),
                        _mm512_and_si512(_mm512_srli_epi16::<2>(packed), low),
                        _mm512_and_si512(_mm512_srli_epi16::<4>(packed), low),
                        _mm512_and_si512(_mm512_srli_epi16::<6>(packed), low),
                    ];
                }
                for plane in 0..4 {
                    for r in 0..ROWS {
                        let quad = codes.add(r * stride + block * BLOCK_COLS + 4 * plane).cast::<i32>();
                        let quad = _mm512_set1_epi32(quad.read_unaligned());
                        for b in 0..BLOCKS {
                            sums[r][b] = _mm512_dpbusd_epi32(sums[r][b], weights[b][plane], quad);
                        }
                    }
                }
            }
            for b in 0..BLOCKS {
                let scales = _mm512_loadu_ps(scales.add((b * groups + group) * BLOCK_ROWS));
                for r in 0..ROWS {
                    let part = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[r][b]), scales);
                    totals[r][b] = _mm512_add_ps(totals[r][b], part);
                }
            }
        }
        for r in 0..ROWS {
            for b in 0..BLOCKS {
                store(product, totals[r][b], row_block + b, row + r, out);
            }
        }
    }
    ROWS
}

/// Multiply one row of activations by `BLOCKS` row blocks, and return 1. Codes are not shifted to the lowest bits, but
/// the sums are, once per group.
///
/// # Safety
///
/// As for [`tile`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn single<const BLOCKS: usize>(
    product: &TernaryProduct<'_>,
    row_block: usize,
    row: usize,
    out: &Columns<'_>,
) -> usize {
    let (groups, group_blocks) = (product.groups, product.group_blocks);
    let row_bytes = groups * group_blocks * BLOCK_BYTES;
    let masks = [_mm512_set1_epi8(3), _mm512_set1_epi8(12), _mm512_set1_epi8(48), _mm512_set1_epi8(-64)];
    let mut totals = [_mm512_setzero_ps(); BLOCKS];
    // SAFETY: as in `tile`.
    unsafe {
        let mut blocks = product.blocks.as_ptr().add(row_block * row_bytes);
        let scales = product.scales.as_ptr().add(row_block * groups * BLOCK_ROWS);
        let mut codes = product.codes.as_ptr().add(row * product.stride);
        let negative_sums = product.negative_sums.as_ptr().add(row * groups);
        for group in 0..groups {
            let mut sums = [[_mm512_setzero_si512(); 4]; BLOCKS];
            for b in 0..BLOCKS {
                sums[b][0] = _mm512_set1_epi32(*negative_sums.add(group));
            }
            for _ in 0..group_blocks {
                let mut packed = [_mm512_setzero_si512(); BLOCKS];
                for b in 0..BLOCKS {
                    packed[b] = _mm512_loadu_si512(blocks.add(b * row_bytes).cast());
                    _mm_prefetch::<_MM_HINT_T0>(blocks.wrapping_add(b * row_bytes + PREFETCH_BYTES).cast());
                }
                for plane in 0..4 {
                    let quad = _mm512_set1_epi32(codes.add(4 * plane).cast::<i32>().read_unaligned());
                    for b in 0..BLOCKS {
                        let weights = _mm512_and_si512(packed[b], masks[plane]);
                        sums[b][plane] = _mm512_dpbusd_epi32(sums[b][plane], weights, quad);
                    }
                }
                blocks = blocks.add(BLOCK_BYTES);
                codes = codes.add(BLOCK_COLS);
            }
            for b in 0..BLOCKS {
                // The shifts are exact: the sums are multiples of 4, 16 and 64.
                let low = _mm512_add_epi32(sums[b][0], _mm512_srai_epi32::<2>(sums[b][1]));
                let high = _mm512_add_epi32(_mm512_srai_epi32::<4>(sums[b][2]), _mm512_srai_epi32::<6>(sums[b][3]));
                let sum = _mm512_cvtepi32_ps(_mm512_add_epi32(low, high));
                let scales = _mm512_loadu_ps(scales.add((b * groups + group) * BLOCK_ROWS));
                totals[b] = _mm512_add_ps(totals[b], _mm512_mul_ps(sum, scales));
            }
        }
        for b in 0..BLOCKS {
            store(product, totals[b], row_block + b, row, out);
        }
    }
    1
}

/// # Safety
///
/// As for [`tile`].
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(product: &TernaryProduct<'_>, totals: __m512, row_block: usize, row: usize, out: &Columns<'_>) {
    let mut values = [0f32; BLOCK_ROWS];
    let totals = _mm512_mul_ps(totals, _mm512_set1_ps(product.row_scales[row]));
    // SAFETY: the array has 64 bytes, and each row block is given to one thread.
    unsafe {
        _mm512_storeu_ps(values.as_mut_ptr(), totals);
        out.store(row, row_block * BLOCK_ROWS, &values);
    }
}
