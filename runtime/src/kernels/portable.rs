//! Ternary product in plain Rust: the definition of the result of all other paths.

use super::output::Columns;
use super::{TernaryProduct, BLOCK_BYTES, BLOCK_COLS, BLOCK_ROWS};
use std::ops::Range;

pub(crate) fn ternary(product: &TernaryProduct<'_>, row_blocks: Range<usize>, rows: Range<usize>, out: &Columns<'_>) {
    let (groups, group_blocks) = (product.groups, product.group_blocks);
    let row_bytes = groups * group_blocks * BLOCK_BYTES;
    for row_block in row_blocks {
        let blocks = &product.blocks[row_block * row_bytes..][..row_bytes];
        let scales = &product.scales[row_block * groups * BLOCK_ROWS..][..groups * BLOCK_ROWS];
        for row in rows.clone() {
            let codes = &product.codes[row * product.stride..][..groups * group_blocks * BLOCK_COLS];
            let mut totals = [0f32; BLOCK_ROWS];
            for group in 0..groups {
                let mut sums = [product.negative_sums[row * groups + group]; BLOCK_ROWS];
                for block in group * group_blocks..(group + 1) * group_blocks {
                    let bytes = blocks[block * BLOCK_BYTES..].first_chunk::<BLOCK_BYTES>().unwrap();
                    let inputs = codes[block * BLOCK_COLS..].first_chunk::<BLOCK_COLS>().unwrap();
                    add_block(bytes, inputs, &mut sums);
                }
                let scales = scales[group * BLOCK_ROWS..].first_chunk::<BLOCK_ROWS>().unwrap();
                for output in 0..BLOCK_ROWS {
                    totals[output] += sums[output] as f32 * scales[output];
                }
            }
            let values = totals.map(|total| total * product.row_scales[row]);
            // SAFETY: each row block is given to one thread.
            unsafe { out.store(row, row_block * BLOCK_ROWS, &values) };
        }
    }
}

/// Add the products of one block to the sums of its outputs.
#[inline(always)]
fn add_block(bytes: &[u8; BLOCK_BYTES], inputs: &[i8; BLOCK_COLS], sums: &mut [i32; BLOCK_ROWS]) {
    for (output, sum) in sums.iter_mut().enumerate() {
        let mut total = 0i32;
        for col in 0..4 {
            let byte = i32::from(bytes[4 * output + col]);
            total += (byte & 3) * i32::from(inputs[col]);
            total += ((byte >> 2) & 3) * i32::from(inputs[4 + col]);
            total += ((byte >> 4) & 3) * i32::from(inputs[8 + col]);
            total += (byte >> 6) * i32::from(inputs[12 + col]);
        }
        *sum += total;
    }
}
