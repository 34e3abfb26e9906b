//! Matrices of ternary weights with a scale per group.

#![forbid(unsafe_code)]

use crate::cpu;
use crate::error::{Error, Result};
use crate::kernels::float::{ternary_float, TernaryFloat};
use crate::kernels::output::Columns;
use crate::kernels::{self, Isa, TernaryProduct, BLOCK_BYTES, BLOCK_COLS, BLOCK_ROWS};
use crate::pool::Pool;
use crate::quantized::row_stride;
pub use crate::quantized::QuantizedRows;

/// Rows of activations that pass through a block of weights before the next block, so that they stay in the cache.
const TILE_BYTES: usize = 256 << 10;
/// Row blocks of the smallest part of a product for one thread.
const PART_BLOCKS: usize = 4;
/// Products with fewer weights times rows run on the calling thread.
const SMALLEST_SHARED: usize = 1 << 17;

/// Weight of a ternary layer: codes in {-1, 0, 1} times one scale per group of inputs.
///
/// In memory a weight has 2 bits, and a scale 32 bits. Blocks of 16 outputs and 16 inputs lie side by side.
#[derive(Clone, Debug)]
pub struct TernaryMatrix {
    rows: usize,
    cols: usize,
    group: usize,
    /// Inputs per group in memory: `group`, rounded up to whole blocks.
    padded_group: usize,
    blocks: Vec<u8>,
    scales: Vec<f32>,
    isa: Isa,
}

impl TernaryMatrix {
    /// Create a matrix from codes.
    ///
    /// Arguments:
    /// - `rows`, `cols`: number of outputs and inputs.
    /// - `group`: number of inputs that share a scale, a divisor of `cols`; `cols` if there is one scale.
    /// - `codes`: numbers from -1 to 1, `[rows][cols]`.
    /// - `scales`: `[rows][cols / group]`, or one for the whole matrix.
    ///
    /// # Errors
    ///
    /// A size is zero or does not fit, or a code is none of -1, 0 and 1, or a scale is not finite.
    pub fn from_codes(rows: usize, cols: usize, group: usize, codes: &[i8], scales: &[f32]) -> Result<Self> {
        let mut matrix = Self::zeros(rows, cols, group, scales)?;
        check_length("codes", codes.len(), rows.checked_mul(cols))?;
        for (row, codes) in codes.chunks_exact(cols).enumerate() {
            for (col, &code) in codes.iter().enumerate() {
                if !(-1..=1).contains(&code) {
                    return Err(Error::invalid(format!("ternary codes must be -1, 0 or 1, got {code}")));
                }
                matrix.set(row, col, (code + 1) as u8);
            }
        }
        Ok(matrix)
    }

    /// Create a matrix from packed codes, `[rows][cols / 4]`: byte j of a row has the codes 4j to 4j + 3, each plus
    /// one, with the first in the lowest two bits (`pack_codes` of `modeling_nanochat/packed_nanochat.py`).
    ///
    /// The other arguments are those of [`TernaryMatrix::from_codes`].
    ///
    /// # Errors
    ///
    /// A size is zero or does not fit, `cols` is not a multiple of 4, two bits are 3, or a scale is not finite.
    pub fn from_packed(rows: usize, cols: usize, group: usize, packed: &[u8], scales: &[f32]) -> Result<Self> {
        if !cols.is_multiple_of(4) {
            return Err(Error::invalid(format!("inputs of packed weights must be a multiple of 4, got {cols}")));
        }
        let mut matrix = Self::zeros(rows, cols, group, scales)?;
        check_length("packed codes", packed.len(), rows.checked_mul(cols / 4))?;
        for (row, bytes) in packed.chunks_exact(cols / 4).enumerate() {
            for (quad, &byte) in bytes.iter().enumerate() {
                if byte & (byte >> 1) & 0x55 != 0 {
                    return Err(Error::invalid(format!("packed codes must be 0, 1 or 2, got 3 in byte {byte:#04x}")));
                }
                for col in 0..4 {
                    matrix.set(row, 4 * quad + col, byte >> (2 * col) & 3);
                }
            }
        }
        Ok(matrix)
    }

    /// Check the sizes and scales and create a matrix with zeros as padding (code plus one is 1).
    fn zeros(rows: usize, cols: usize, group: usize, scales: &[f32]) -> Result<Self> {
        if rows == 0 || cols == 0 || group == 0 || !cols.is_multiple_of(group) {
            return Err(Error::invalid(format!(
                "a ternary weight must have outputs, inputs and a group size that divides the inputs, got \
                 {rows} outputs, {cols} inputs and group size {group}"
            )));
        }
        // Sums of a group and its products must fit into 32 bits, with the highest code in the highest bits.
        if group > 1 << 18 {
            return Err(Error::Unsupported(format!("groups of more than {} inputs, got {group}", 1 << 18)));
        }
        let groups = cols / group;
        if scales.len() != 1 {
            check_length("scales", scales.len(), rows.checked_mul(groups))?;
        }
        if let Some(scale) = scales.iter().find(|scale| !scale.is_finite()) {
            return Err(Error::invalid(format!("scales of ternary weights must be finite, got {scale}")));
        }
        let padded_group = group.next_multiple_of(BLOCK_COLS);
        let row_blocks = rows.div_ceil(BLOCK_ROWS);
        let too_large = || Error::invalid(format!("a ternary weight of {rows} x {cols} does not fit into memory"));
        let size = (groups * padded_group).checked_mul(row_blocks * BLOCK_ROWS / 4).ok_or_else(too_large)?;
        let mut padded_scales = vec![0.0; row_blocks * groups * BLOCK_ROWS];
        for row in 0..rows {
            for group in 0..groups {
                let scale = if scales.len() == 1 { scales[0] } else { scales[row * groups + group] };
                padded_scales[(row / BLOCK_ROWS * groups + group) * BLOCK_ROWS + row % BLOCK_ROWS] = scale;
            }
        }
        let isa = cpu::chosen_isa()?;
        Ok(TernaryMatrix { rows, cols, group, padded_group, blocks: vec![0x55; size], scales: padded_scales, isa })
    }

    #[inline(always)]
    fn place(&self, row: usize, col: usize) -> (usize, usize) {
        // The usual group has no padding, and then a division less.
        let padded =
            if self.padded_group == self.group { col } else { col / self.group * self.padded_group + col % self.group };
        let blocks_per_row = self.cols / self.group * self.padded_group / BLOCK_COLS;
        let block = row / BLOCK_ROWS * blocks_per_row + padded / BLOCK_COLS;
        let in_block = padded % BLOCK_COLS;
        (block * BLOCK_BYTES + 4 * (row % BLOCK_ROWS) + in_block % 4, in_block / 4 * 2)
    }

    #[inline(always)]
    fn set(&mut self, row: usize, col: usize, code: u8) {
        let (byte, bit) = self.place(row, col);
        self.blocks[byte] = self.blocks[byte] & !(3 << bit) | code << bit;
    }

    /// Use another instruction set, for tests and comparisons.
    ///
    /// # Panics
    ///
    /// This processor does not have it.
    pub fn with_isa(mut self, isa: Isa) -> Self {
        assert!(isa.is_available(), "instruction set {} is not available", isa.name());
        self.isa = isa;
        self
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of inputs that share a scale.
    pub fn group(&self) -> usize {
        self.group
    }

    /// Memory of the codes and scales in bytes.
    pub fn bytes(&self) -> usize {
        self.blocks.len() + 4 * self.scales.len()
    }

    /// Code of a weight: -1, 0 or 1.
    ///
    /// # Panics
    ///
    /// There is no such weight.
    pub fn code(&self, row: usize, col: usize) -> i8 {
        assert!(row < self.rows && col < self.cols);
        let (byte, bit) = self.place(row, col);
        (self.blocks[byte] >> bit & 3) as i8 - 1
    }

    /// Write the products with quantized rows to `y`, `[x.rows()][rows]`.
    ///
    /// An output is `s * (p_1 * s_1 + p_2 * s_2 + ...)`, where `p_g` is the exact integer product of group g, `s_g`
    /// the scale of the group and `s` that of the row of `x`. Each operation rounds to f32, from left to right. So the
    /// result is the same for every instruction set, number of threads and number of rows.
    ///
    /// # Panics
    ///
    /// The sizes do not match.
    pub fn multiply(&self, pool: &Pool, x: &QuantizedRows, y: &mut [f32]) {
        assert_eq!(x.cols, self.cols, "the activations must have as many columns as the weight");
        let out = Columns::new(y, x.rows, self.rows);
        let groups = self.cols / self.group;
        let group_blocks = self.padded_group / BLOCK_COLS;
        let has_gaps = self.padded_group != self.group && groups > 1;
        let (mut padded, mut negative_sums) = (Vec::new(), Vec::with_capacity(x.rows * groups));
        let stride = if has_gaps { row_stride(groups * self.padded_group) } else { x.stride };
        if has_gaps {
            padded.resize(x.rows * stride, 0);
            for row in 0..x.rows {
                let target = padded[row * stride..][..stride].chunks_exact_mut(self.padded_group);
                for (codes, target) in x.codes(row).chunks_exact(self.group).zip(target) {
                    target[..self.group].copy_from_slice(codes);
                    negative_sums.push(-codes.iter().map(|&code| i32::from(code)).sum::<i32>());
                }
            }
        } else {
            for sums in x.block_sums.chunks_exact(x.stride / BLOCK_COLS) {
                let sums = sums[..groups * group_blocks].chunks_exact(group_blocks);
                negative_sums.extend(sums.map(|sums| -sums.iter().sum::<i32>()));
            }
        }
        let codes = if has_gaps { &padded } else { &x.codes };
        let product = TernaryProduct::new(
            &self.blocks,
            &self.scales,
            groups,
            group_blocks,
            codes,
            stride,
            &negative_sums,
            &x.scales,
        );
        // Whole tiles of the widest kernel.
        let tile = (TILE_BYTES / stride / 8).max(1) * 8;
        self.in_parts(pool, x.rows, &|row_blocks| {
            for first in (0..x.rows).step_by(tile) {
                kernels::ternary(self.isa, &product, row_blocks.clone(), first..(first + tile).min(x.rows), &out);
            }
        });
    }

    /// Write the products with float rows, `[x_rows][cols]`, to `y`, `[x_rows][rows]`, for layers that do not round
    /// their inputs. The results are those of float sums in a fixed order for each instruction set.
    ///
    /// # Panics
    ///
    /// The sizes do not match.
    pub fn multiply_float(&self, pool: &Pool, x: &[f32], x_rows: usize, y: &mut [f32]) {
        assert_eq!(x.len(), x_rows * self.cols, "the activations must have as many columns as the weight");
        let out = Columns::new(y, x_rows, self.rows);
        let groups = self.cols / self.group;
        self.in_parts(pool, 16 * x_rows, &|row_blocks| {
            let (blocks, scales, group) = (&self.blocks, &self.scales, self.group);
            ternary_float(self.isa, TernaryFloat { blocks, scales, groups, group, x, row_blocks }, &out);
        });
    }

    /// Call `work` with ranges of row blocks that together are all of them.
    fn in_parts(&self, pool: &Pool, cost: usize, work: &(dyn Fn(std::ops::Range<usize>) + Sync)) {
        let row_blocks = self.rows.div_ceil(BLOCK_ROWS);
        share(pool, row_blocks, self.rows * self.cols * cost.max(1) >= SMALLEST_SHARED, work);
    }
}

/// Divide row blocks among the threads of a pool.
pub(crate) fn share(pool: &Pool, row_blocks: usize, is_worth: bool, work: &(dyn Fn(std::ops::Range<usize>) + Sync)) {
    if pool.threads() == 1 || !is_worth {
        return work(0..row_blocks);
    }
    // Several parts per thread, so that a thread that is interrupted does not delay the others.
    let parts = (row_blocks / PART_BLOCKS).clamp(1, 4 * pool.threads());
    // Even sizes, for kernels that take two row blocks at once.
    let size = row_blocks.div_ceil(parts).next_multiple_of(2);
    pool.run(row_blocks.div_ceil(size), &|part| work(part * size..((part + 1) * size).min(row_blocks)));
}

fn check_length(name: &str, found: usize, expected: Option<usize>) -> Result<()> {
    match expected {
        Some(expected) if expected == found => Ok(()),
        _ => Err(Error::invalid(format!("number of {name} must match the shape of the weight, got {found}"))),
    }
}
