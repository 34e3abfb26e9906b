//! Dense matrices: the head, and the linear layers of models without ternary weights.

#![forbid(unsafe_code)]

use crate::cpu;
use crate::error::{Error, Result};
use crate::kernels::float::{dense, Bf16, Dense, Weight};
use crate::kernels::int8::{self, Int8Product};
use crate::kernels::output::Columns;
use crate::kernels::{Isa, BLOCK_ROWS};
use crate::pool::Pool;
use crate::ternary::share;

/// Products with fewer weights times rows run on the calling thread.
const SMALLEST_SHARED: usize = 1 << 16;

/// Weight of a linear layer without bias, in blocks of 16 outputs.
///
/// Inputs of f32 and bf16 weights are not rounded, and an output is the sum over its inputs in order, in f32. Inputs of
/// int8 weights are rounded to 16 bits by the largest magnitude of their row; sums of 512 inputs are exact, and added in
/// order, in f32.
#[derive(Clone, Debug)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    values: Values,
    isa: Isa,
}

#[derive(Clone, Debug)]
enum Values {
    F32(Vec<f32>),
    Bf16(Vec<Bf16>),
    Int8(Vec<int8::Weights>, Vec<f32>),
}

impl Matrix {
    /// Create a matrix of f32 weights, `[rows][cols]`.
    ///
    /// # Errors
    ///
    /// A size is zero, or the number of weights does not match.
    pub fn f32(rows: usize, cols: usize, weights: &[f32]) -> Result<Self> {
        Self::new(rows, cols, weights.len(), || Values::F32(in_blocks(rows, cols, |i| weights[i], 0.0)))
    }

    /// Create a matrix of bf16 weights, `[rows][cols]`, given as their 16 bits.
    ///
    /// # Errors
    ///
    /// As for [`Matrix::f32`].
    pub fn bf16(rows: usize, cols: usize, weights: &[u16]) -> Result<Self> {
        Self::new(rows, cols, weights.len(), || Values::Bf16(in_blocks(rows, cols, |i| Bf16(weights[i]), Bf16(0))))
    }

    /// Round f32 weights, `[rows][cols]`, to int8, with the largest magnitude of each row / 127 as its scale.
    ///
    /// # Errors
    ///
    /// As for [`Matrix::f32`], or a weight is not finite.
    pub fn int8(rows: usize, cols: usize, weights: &[f32]) -> Result<Self> {
        if let Some(weight) = weights.iter().find(|weight| !weight.is_finite()) {
            return Err(Error::invalid(format!("weights must be finite to be rounded to int8, got {weight}")));
        }
        Self::new(rows, cols, weights.len(), || {
            let mut scales = vec![0f32; rows.next_multiple_of(BLOCK_ROWS)];
            for (row, scale) in weights.chunks_exact(cols).zip(&mut scales) {
                let largest = row.iter().fold(0f32, |largest, weight| largest.max(weight.abs()));
                *scale = largest.max(f32::MIN_POSITIVE * 127.0) / 127.0;
            }
            let mut blocks = vec![int8::Weights::default(); rows.div_ceil(BLOCK_ROWS) * cols.div_ceil(2)];
            for (i, weight) in weights.iter().enumerate() {
                let (row, col) = (i / cols, i % cols);
                let place = &mut blocks[row / BLOCK_ROWS * cols.div_ceil(2) + col / 2];
                place[row % BLOCK_ROWS][col % 2] = (weight / scales[row]).round_ties_even() as i8;
            }
            Values::Int8(blocks, scales)
        })
    }

    fn new(rows: usize, cols: usize, found: usize, values: impl FnOnce() -> Values) -> Result<Self> {
        if rows == 0 || cols == 0 || rows.checked_mul(cols) != Some(found) {
            return Err(Error::invalid(format!("a weight of {rows} x {cols} must have as many numbers, got {found}")));
        }
        let isa = cpu::chosen_isa()?;
        Ok(Matrix { rows, cols, values: values(), isa })
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

    /// Memory of the weights in bytes.
    pub fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(weights) => 4 * weights.len(),
            Values::Bf16(weights) => 2 * weights.len(),
            Values::Int8(weights, scales) => size_of_val(weights.as_slice()) + 4 * scales.len(),
        }
    }

    /// Write the weights of an output as f32, for example the embedding of a token if the head is tied.
    ///
    /// # Panics
    ///
    /// There is no such row, or `values` does not have `cols` elements.
    pub fn copy_row(&self, row: usize, values: &mut [f32]) {
        assert!(row < self.rows && values.len() == self.cols);
        let first = row / BLOCK_ROWS * self.cols * BLOCK_ROWS + row % BLOCK_ROWS;
        for (col, value) in values.iter_mut().enumerate() {
            let place = first + col * BLOCK_ROWS;
            *value = match &self.values {
                Values::F32(weights) => weights[place],
                Values::Bf16(weights) => weights[place].value(),
                Values::Int8(weights, scales) => {
                    let pair = &weights[row / BLOCK_ROWS * self.cols.div_ceil(2) + col / 2];
                    f32::from(pair[row % BLOCK_ROWS][col % 2]) * scales[row]
                }
            };
        }
    }

    /// Write the products with float rows, `[x_rows][cols]`, to `y`, `[x_rows][rows]`. A row's result does not depend
    /// on the other rows, or on the number of threads.
    ///
    /// # Panics
    ///
    /// The sizes do not match.
    pub fn multiply(&self, pool: &Pool, x: &[f32], x_rows: usize, y: &mut [f32]) {
        assert_eq!(x.len(), x_rows * self.cols, "the rows must have as many columns as the weight");
        let out = Columns::new(y, x_rows, self.rows);
        let is_worth = self.rows * self.cols * x_rows >= SMALLEST_SHARED;
        let (cols, pairs) = (self.cols, self.cols.div_ceil(2));
        let (mut levels, mut row_scales) = (Vec::new(), Vec::new());
        if matches!(self.values, Values::Int8(..)) {
            levels.resize(x_rows * pairs, [0; 2]);
            let rows = x.chunks_exact(cols).zip(levels.chunks_exact_mut(pairs));
            row_scales.extend(rows.map(|(x, levels)| int8::round_row(x, levels)));
        }
        let (levels, row_scales) = (levels.as_slice(), row_scales.as_slice());
        share(pool, self.rows.div_ceil(BLOCK_ROWS), is_worth, &|row_blocks| match &self.values {
            Values::F32(weights) => dense(self.isa, Dense { weights, cols, x, row_blocks }, &out),
            Values::Bf16(weights) => dense(self.isa, Dense { weights, cols, x, row_blocks }, &out),
            Values::Int8(weights, scales) => {
                int8::int8(self.isa, Int8Product { weights, scales, pairs, levels, row_scales, row_blocks }, &out);
            }
        });
    }
}

/// Arrange weights `[rows][cols]` as `[row_blocks][cols][BLOCK_ROWS]`.
fn in_blocks<W: Copy>(rows: usize, cols: usize, weight: impl Fn(usize) -> W, padding: W) -> Vec<W> {
    let mut blocks = Vec::with_capacity(rows.next_multiple_of(BLOCK_ROWS) * cols);
    for first in (0..rows).step_by(BLOCK_ROWS) {
        for col in 0..cols {
            for row in first..first + BLOCK_ROWS {
                blocks.push(if row < rows { weight(row * cols + col) } else { padding });
            }
        }
    }
    blocks
}
