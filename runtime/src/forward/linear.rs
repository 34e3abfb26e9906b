//! Linear layers of the blocks: ternary with int8 or float inputs, or float.

use crate::floats::Matrix;
use crate::pool::Pool;
use crate::ternary::{QuantizedRows, TernaryMatrix};

/// Weights of a linear layer.
pub enum Weight {
    /// Ternary weights and inputs that are rounded to int8 per token.
    Int8(TernaryMatrix),
    /// Ternary weights and float inputs.
    Ternary(TernaryMatrix),
    /// Float weights.
    Float(Matrix),
}

/// A linear layer.
pub struct Linear {
    /// The weights.
    pub weight: Weight,
    /// One number per output; empty for a layer without bias.
    pub bias: Vec<f32>,
}

/// Inputs of linear layers, rounded at most once for all layers that have the same input.
#[derive(Default)]
pub struct Input {
    values: Vec<f32>,
    rows: usize,
    quantized: QuantizedRows,
    is_quantized: bool,
}

impl Input {
    /// Return the rows to write, all zero: `[rows][width]`.
    pub fn reset(&mut self, rows: usize, width: usize) -> &mut Vec<f32> {
        self.rows = rows;
        self.is_quantized = false;
        self.values.clear();
        self.values.resize(rows * width, 0.0);
        &mut self.values
    }
}

impl Linear {
    /// Replace `output` by the products of all rows, with the bias.
    pub fn apply(&self, pool: &Pool, input: &mut Input, output: &mut Vec<f32>) {
        let width = match &self.weight {
            Weight::Int8(matrix) | Weight::Ternary(matrix) => matrix.rows(),
            Weight::Float(matrix) => matrix.rows(),
        };
        output.resize(input.rows * width, 0.0);
        match &self.weight {
            Weight::Int8(matrix) => {
                if !input.is_quantized {
                    input.quantized.quantize(&input.values, input.rows, matrix.cols());
                    input.is_quantized = true;
                }
                matrix.multiply(pool, &input.quantized, output);
            }
            Weight::Ternary(matrix) => matrix.multiply_float(pool, &input.values, input.rows, output),
            Weight::Float(matrix) => matrix.multiply(pool, &input.values, input.rows, output),
        }
        if !self.bias.is_empty() {
            for row in output.chunks_exact_mut(width) {
                row.iter_mut().zip(&self.bias).for_each(|(output, bias)| *output += bias);
            }
        }
    }

    /// Bytes of the weight.
    pub fn bytes(&self) -> usize {
        match &self.weight {
            Weight::Int8(matrix) | Weight::Ternary(matrix) => matrix.bytes(),
            Weight::Float(matrix) => matrix.bytes(),
        }
    }
}
