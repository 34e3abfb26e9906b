//! Products with float activations, and the rounding of activations.
//!
//! The loops are written once, over vectors of 16 outputs, and compiled once per instruction set. An output's sum runs over the inputs in order, whatever the number of rows.

use super::lanes::Lanes;
use super::output::Columns;
use super::{Isa, BLOCK_BYTES, BLOCK_COLS, BLOCK_ROWS};
use std::ops::Range;

/// Rows of activations that one pass over a block of weights serves.
const ROWS: usize = 8;

/// Run a body with the vectors of an instruction set, compiled with its instructions. The module has the types `Avx512`,
/// `Avx2` and `Plain`.
macro_rules! per_isa {
    ($isa:expr, $body:ident $(<$w:ident>)?, $module:path, ($($name:ident: $type:ty),*) $(-> $result:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
        fn avx512$(<$w: Weight>)?($($name: $type),*) $(-> $result)? {
            use $module as vectors;
            $body::<vectors::Avx512 $(, $w)?>($($name),*)
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2$(<$w: Weight>)?($($name: $type),*) $(-> $result)? {
            use $module as vectors;
            $body::<vectors::Avx2 $(, $w)?>($($name),*)
        }
        assert!($isa.is_available(), "instruction set {} is not available", $isa.name());
        match $isa {
            // SAFETY: the processor has the features (asserted above).
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => unsafe { avx512($($name),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { avx2($($name),*) },
            _ => {
                use $module as vectors;
                $body::<vectors::Plain $(, $w)?>($($name),*)
            }
        }
    }};
}
pub(crate) use per_isa;

/// Round a row of activations to int8 levels, and return its scale.
pub(crate) fn quantize_row(isa: Isa, x: &[f32], codes: &mut [i8]) -> f32 {
    per_isa!(isa, quantize_row_body, super::lanes, (x: &[f32], codes: &mut [i8]) -> f32)
}

#[inline(always)]
fn quantize_row_body<L: Lanes>(x: &[f32], codes: &mut [i8]) -> f32 {
    // As integers, magnitudes have the same order, and NaN is the largest.
    let largest = x.iter().fold(0, |largest: u32, value| largest.max(value.to_bits() & 0x7fff_ffff));
    let largest = f32::from_bits(largest);
    let scale = if largest < 1e-5 { 1e-5 } else { largest } / 127.0;
    // Adding 1.5 * 2**23 rounds a small number to an integer, ties to even, which is then in the lowest bits.
    for (code, value) in codes.iter_mut().zip(x) {
        *code = (value / scale + 12_582_912.0).to_bits() as u8 as i8;
    }
    scale
}

/// A kind of weight of [`dense`]: blocks `[row_blocks][cols][BLOCK_ROWS]`.
pub(crate) trait Weight: Copy + Sync {
    /// The weight as f32.
    fn value(self) -> f32;

    /// Load the weights of 16 outputs.
    ///
    /// # Safety
    ///
    /// The processor has the instructions of `L`.
    unsafe fn load<L: Lanes>(weights: &[Self; BLOCK_ROWS]) -> L;
}

impl Weight for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(weights: &[Self; BLOCK_ROWS]) -> L {
        // SAFETY: by the contract of this function.
        unsafe { L::load_f32(weights) }
    }
}

/// Upper half of an f32.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Bf16(pub(crate) u16);

impl Weight for Bf16 {
    #[inline(always)]
    fn value(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[inline(always)]
    unsafe fn load<L: Lanes>(weights: &[Self; BLOCK_ROWS]) -> L {
        // SAFETY: by the contract of this function.
        unsafe { L::load_bf16(weights) }
    }
}

/// Arguments of a product with a dense matrix.
#[derive(Clone)]
pub(crate) struct Dense<'a, W> {
    pub(crate) weights: &'a [W],
    pub(crate) cols: usize,
    /// Float rows, `[rows][cols]`.
    pub(crate) x: &'a [f32],
    pub(crate) row_blocks: Range<usize>,
}

/// Multiply float rows by row blocks of a dense matrix.
pub(crate) fn dense<W: Weight>(isa: Isa, product: Dense<'_, W>, out: &Columns<'_>) {
    per_isa!(isa, dense_body<W>, super::lanes, (product: Dense<'_, W>, out: &Columns<'_>));
}

#[inline(always)]
fn dense_body<L: Lanes, W: Weight>(product: Dense<'_, W>, out: &Columns<'_>) {
    let rows = out.rows();
    let end = product.row_blocks.end;
    let mut block = product.row_blocks.start;
    // Enough independent sums for the latency of a multiply-add, in each case.
    while block < end {
        let blocks = (end - block).min(4);
        let mut row = 0;
        // Loops instead of closures, which would be compiled without the instruction set.
        while row < rows {
            let left = rows - row;
            // A tile needs a register or two for each row, and some for the weights.
            if L::MANY && left >= 8 {
                for block in block..block + blocks {
                    dense_tile::<L, W, 8, 1>(&product, block, row, out);
                }
                row += 8;
            } else if left >= 4 {
                for block in block..block + blocks {
                    dense_tile::<L, W, 4, 1>(&product, block, row, out);
                }
                row += 4;
            } else {
                if blocks == 4 {
                    dense_tile::<L, W, 1, 4>(&product, block, row, out);
                } else {
                    for block in block..block + blocks {
                        dense_tile::<L, W, 1, 1>(&product, block, row, out);
                    }
                }
                row += 1;
            }
        }
        block += blocks;
    }
}

#[inline(always)]
fn dense_tile<L: Lanes, W: Weight, const ROWS: usize, const BLOCKS: usize>(
    product: &Dense<'_, W>,
    block: usize,
    row: usize,
    out: &Columns<'_>,
) {
    let cols = product.cols;
    let x: [&[f32]; ROWS] = std::array::from_fn(|i| &product.x[(row + i) * cols..][..cols]);
    let weights: [&[[W; BLOCK_ROWS]]; BLOCKS] = std::array::from_fn(|i| {
        let (blocks, rest) = product.weights[(block + i) * cols * BLOCK_ROWS..][..cols * BLOCK_ROWS].as_chunks();
        debug_assert!(rest.is_empty());
        &blocks[..cols]
    });
    // SAFETY: the processor has the instructions of `L`: `per_isa` has chosen it. `col` is below `cols`, the length of
    // all slices. Each row block is given to one thread.
    unsafe {
        let mut totals = [[L::zero(); BLOCKS]; ROWS];
        for col in 0..cols {
            for b in 0..BLOCKS {
                let weights = W::load::<L>(weights[b].get_unchecked(col));
                for r in 0..ROWS {
                    totals[r][b] = L::multiply_add(weights, *x[r].get_unchecked(col), totals[r][b]);
                }
            }
        }
        for r in 0..ROWS {
            for b in 0..BLOCKS {
                out.store(row + r, (block + b) * BLOCK_ROWS, &totals[r][b].values());
            }
        }
    }
}

/// Arguments of a product of float rows with a ternary matrix.
#[derive(Clone)]
pub(crate) struct TernaryFloat<'a> {
    pub(crate) blocks: &'a [u8],
    /// Scales `[row_blocks][groups][BLOCK_ROWS]`.
    pub(crate) scales: &'a [f32],
    pub(crate) groups: usize,
    /// Inputs per group.
    pub(crate) group: usize,
    /// Float rows, `[rows][groups * group]`.
    pub(crate) x: &'a [f32],
    pub(crate) row_blocks: Range<usize>,
}

/// Multiply float rows by row blocks of a ternary matrix.
pub(crate) fn ternary_float(isa: Isa, product: TernaryFloat<'_>, out: &Columns<'_>) {
    per_isa!(isa, ternary_float_body, super::lanes, (product: TernaryFloat<'_>, out: &Columns<'_>));
}

#[inline(always)]
fn ternary_float_body<L: Lanes>(product: TernaryFloat<'_>, out: &Columns<'_>) {
    let (groups, group) = (product.groups, product.group);
    let group_bytes = group.div_ceil(BLOCK_COLS) * BLOCK_BYTES;
    for row_block in product.row_blocks.clone() {
        let blocks = &product.blocks[row_block * groups * group_bytes..][..groups * group_bytes];
        let scales = &product.scales[row_block * groups * BLOCK_ROWS..][..groups * BLOCK_ROWS];
        let mut row = 0;
        while row < out.rows() {
            let left = out.rows() - row;
            if left >= ROWS {
                ternary_float_tile::<L, ROWS>(&product, blocks, scales, row_block, row, out);
                row += ROWS;
            } else {
                ternary_float_tile::<L, 1>(&product, blocks, scales, row_block, row, out);
                row += 1;
            }
        }
    }
}

#[inline(always)]
fn ternary_float_tile<L: Lanes, const ROWS: usize>(
    product: &TernaryFloat<'_>,
    blocks: &[u8],
    scales: &[f32],
    row_block: usize,
    row: usize,
    out: &Columns<'_>,
) {
    let (groups, group) = (product.groups, product.group);
    let group_bytes = group.div_ceil(BLOCK_COLS) * BLOCK_BYTES;
    let cols = groups * group;
    // SAFETY: the processor has the instructions of `L`: `per_isa` has chosen it. `col` is below `group`, the length of
    // the slices. Each row block is given to one thread.
    unsafe {
        let mut totals = [L::zero(); ROWS];
        for g in 0..groups {
            let x: [&[f32]; ROWS] = std::array::from_fn(|i| &product.x[(row + i) * cols + g * group..][..group]);
            let bytes = &blocks[g * group_bytes..][..group_bytes];
            let mut sums = [L::zero(); ROWS];
            for col in 0..group {
                let block = bytes[col / BLOCK_COLS * BLOCK_BYTES..].first_chunk::<BLOCK_BYTES>().unwrap();
                let shift = col % BLOCK_COLS / 4 * 2;
                let mut weights = [0f32; BLOCK_ROWS];
                for output in 0..BLOCK_ROWS {
                    weights[output] = (i32::from(block[4 * output + col % 4] >> shift & 3) - 1) as f32;
                }
                let weights = L::load_f32(&weights);
                for r in 0..ROWS {
                    sums[r] = L::multiply_add(weights, *x[r].get_unchecked(col), sums[r]);
                }
            }
            let scales = L::load_f32(scales[g * BLOCK_ROWS..].first_chunk::<BLOCK_ROWS>().unwrap());
            for r in 0..ROWS {
                totals[r] = totals[r].add(sums[r].multiply(scales));
            }
        }
        for r in 0..ROWS {
            out.store(row + r, row_block * BLOCK_ROWS, &totals[r].values());
        }
    }
}
