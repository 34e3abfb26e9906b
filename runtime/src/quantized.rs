//! int8 activations with one scale per row.

use crate::kernels::float::quantize_row;
use crate::kernels::{Isa, BLOCK_COLS};

/// Rows of activations, rounded to int8 by the largest magnitude of each row.
///
/// The levels and scales are exactly those of `activation_levels` of `modeling_nanochat/ternary_nanochat.py`.
/// A row with a NaN or an infinite value gets such a scale, so that its products are not finite either.
#[derive(Clone, Debug, Default)]
pub struct QuantizedRows {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Distance between rows in `codes`. The columns from `cols` on are zero.
    pub(crate) stride: usize,
    pub(crate) codes: Vec<i8>,
    pub(crate) scales: Vec<f32>,
    /// Sums of `BLOCK_COLS` codes, `[rows][stride / BLOCK_COLS]`.
    pub(crate) block_sums: Vec<i32>,
}

impl QuantizedRows {
    /// Create an object without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Levels of a row, from -127 to 127.
    pub fn codes(&self, row: usize) -> &[i8] {
        &self.codes[row * self.stride..][..self.cols]
    }

    /// Scales of the rows: largest magnitude, at least 1e-5, divided by 127.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// Replace the content by the rounded rows of `x`, `[rows][cols]`. Memory is reused.
    ///
    /// # Panics
    ///
    /// The length of `x` is not `rows * cols`, or `cols` is 0.
    pub fn quantize(&mut self, x: &[f32], rows: usize, cols: usize) {
        assert!(cols > 0 && x.len() == rows * cols, "x must have rows * cols elements");
        (self.rows, self.cols) = (rows, cols);
        self.stride = row_stride(cols);
        let blocks = self.stride / BLOCK_COLS;
        self.codes.resize(rows * self.stride, 0);
        self.scales.resize(rows, 0.0);
        self.block_sums.resize(rows * blocks, 0);
        let isa = Isa::detect();
        for row in 0..rows {
            let codes = &mut self.codes[row * self.stride..][..self.stride];
            codes[cols..].fill(0);
            self.scales[row] = quantize_row(isa, &x[row * cols..][..cols], &mut codes[..cols]);
            let sums = &mut self.block_sums[row * blocks..][..blocks];
            for (sum, block) in sums.iter_mut().zip(codes.chunks_exact(BLOCK_COLS)) {
                *sum = block.iter().map(|&code| i32::from(code)).sum();
            }
        }
    }
}

/// Distance between rows: a multiple of 64, and not of 1024, so that rows do not share the same lines of the cache.
pub(crate) fn row_stride(cols: usize) -> usize {
    let stride = cols.next_multiple_of(64);
    if stride.is_multiple_of(1024) {
        stride + 64
    } else {
        stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_round_half_to_even_and_small_rows_use_the_smallest_scale() {
        let mut rows = QuantizedRows::new();
        rows.quantize(&[127.0, 0.5, 1.5, -2.5, -127.0, 2.5000002], 1, 6);
        assert_eq!(rows.codes(0), [127, 0, 2, -2, -127, 3]);
        rows.quantize(&[0.0, 1e-9, 0.0], 1, 3);
        assert_eq!(rows.scales(), [1e-5 / 127.0]);
        assert_eq!(rows.codes(0), [0, 0, 0]);
    }

    #[test]
    fn reuse_leaves_nothing_of_longer_rows() {
        let mut reused = QuantizedRows::new();
        reused.quantize(&[1.0; 400], 2, 200);
        reused.quantize(&[1.0; 15], 3, 5);
        let mut fresh = QuantizedRows::new();
        fresh.quantize(&[1.0; 15], 3, 5);
        assert_eq!((reused.codes, reused.block_sums, reused.scales), (fresh.codes, fresh.block_sums, fresh.scales));
    }

    #[test]
    fn rows_that_are_not_finite_have_scales_that_are_not_finite() {
        let mut rows = QuantizedRows::new();
        rows.quantize(&[f32::NAN, 1.0, 1.0, f32::NEG_INFINITY], 2, 2);
        assert!(rows.scales()[0].is_nan() && rows.scales()[1].is_infinite());
    }
}
