//! RMSNorm (arXiv 1910.07467).

use super::vector::sum_of_squares;

/// Normalization to a root mean square of 1, times a weight per feature.
pub struct RmsNorm {
    weight: Vec<f32>,
    epsilon: f32,
}

impl RmsNorm {
    /// Create a norm with its weight.
    pub fn new(weight: Vec<f32>, epsilon: f32) -> Self {
        RmsNorm { weight, epsilon }
    }

    /// Write the norm of a row into `output`.
    pub fn apply(&self, row: &[f32], output: &mut [f32]) {
        let inverse = inverse_norm(row, self.epsilon);
        for ((output, value), weight) in output.iter_mut().zip(row).zip(&self.weight) {
            *output = weight * (value * inverse);
        }
    }

    /// Normalize a row in place; streams of a token are normalized together.
    pub fn apply_in_place(&self, streams: &mut [f32]) {
        let inverse = inverse_norm(streams, self.epsilon);
        for stream in streams.chunks_exact_mut(self.weight.len()) {
            for (value, weight) in stream.iter_mut().zip(&self.weight) {
                *value = weight * (*value * inverse);
            }
        }
    }
}

/// Return `1 / sqrt(mean(values^2) + epsilon)`.
pub fn inverse_norm(values: &[f32], epsilon: f32) -> f32 {
    1.0 / (sum_of_squares(values) / values.len() as f32 + epsilon).sqrt()
}
