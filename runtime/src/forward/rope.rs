//! Rotary position embeddings, with the types and formulas of transformers' `modeling_rope_utils`.

use std::f64::consts::PI;

use crate::config::Config;
use crate::rope_parameters::RopeScaling;

/// Frequencies of the rotary embeddings.
pub struct Rotary {
    theta: f64,
    scaling: RopeScaling,
    head_dim: usize,
    max_positions: usize,
    /// Frequencies of texts that are not longer than the model's context, and for `longrope` of longer ones.
    short: Vec<f32>,
    long: Vec<f32>,
    attention_factor: f32,
}

/// Cosines and sines of one position, each of length `head_dim / 2`.
pub struct Rotation {
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Rotary {
    /// Compute the frequencies of a model.
    pub fn new(config: &Config) -> Self {
        let (head_dim, theta) = (config.head_dim, config.rope.theta);
        let base = frequencies(theta, head_dim);
        let max_positions = config.max_position_embeddings;
        let mut long = Vec::new();
        let mut attention_factor = 1.0;
        let short = match &config.rope.scaling {
            RopeScaling::Default | RopeScaling::Dynamic { .. } => base,
            RopeScaling::Linear { factor } => base.iter().map(|value| value / *factor as f32).collect(),
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let scale = |frequency| {
                    llama3(frequency, *factor, *low_freq_factor, *high_freq_factor, *original_max_position_embeddings)
                };
                base.into_iter().map(scale).collect()
            }
            RopeScaling::Yarn { factor, attention_factor: given, mscale, mscale_all_dim, .. } => {
                let scale = |mscale: f64| if *factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
                attention_factor = match (given, mscale, mscale_all_dim) {
                    (Some(given), _, _) => *given,
                    (None, Some(mscale), Some(all)) => scale(*mscale) / scale(*all),
                    _ => scale(1.0),
                };
                yarn(theta, head_dim, &config.rope.scaling)
            }
            RopeScaling::Longrope {
                short_factor,
                long_factor,
                factor,
                attention_factor: given,
                original_max_position_embeddings: original,
            } => {
                let factor = factor.unwrap_or(max_positions as f64 / *original as f64);
                let derived = if factor <= 1.0 { 1.0 } else { (1.0 + factor.ln() / (*original as f64).ln()).sqrt() };
                attention_factor = given.unwrap_or(derived);
                let powers = powers(theta, head_dim);
                let divide = |factors: &[f64]| -> Vec<f32> {
                    powers.iter().zip(factors).map(|(power, factor)| 1.0 / (*factor as f32 * power)).collect()
                };
                long = divide(long_factor);
                divide(short_factor)
            }
        };
        let scaling = config.rope.scaling.clone();
        let attention_factor = attention_factor as f32;
        Rotary { theta, scaling, head_dim, max_positions, short, long, attention_factor }
    }

    /// Compute the rotation of a position.
    ///
    /// `length` is the number of tokens after the pass, on which the frequencies of the types `dynamic` and
    /// `longrope` depend.
    pub fn rotation(&self, position: usize, length: usize) -> Rotation {
        let dynamic;
        let frequencies = match &self.scaling {
            RopeScaling::Dynamic { factor } if length > self.max_positions => {
                let dim = self.head_dim as f64;
                let stretch = factor * length as f64 / self.max_positions as f64 - (factor - 1.0);
                dynamic = frequencies(self.theta * stretch.powf(dim / (dim - 2.0)), self.head_dim);
                &dynamic
            }
            RopeScaling::Longrope { original_max_position_embeddings, .. }
                if length > *original_max_position_embeddings =>
            {
                &self.long
            }
            _ => &self.short,
        };
        // As in PyTorch, the angle is rounded to single precision.
        let angles = frequencies.iter().map(|frequency| f64::from(frequency * position as f32));
        let (sines, cosines) = angles
            .map(|angle| (angle.sin() as f32 * self.attention_factor, angle.cos() as f32 * self.attention_factor))
            .unzip();
        Rotation { cosines, sines }
    }
}

impl Rotation {
    /// Rotate the pairs `(i, i + head_dim / 2)` of one head, in place.
    pub fn apply(&self, head: &mut [f32]) {
        let (first, second) = head.split_at_mut(self.cosines.len());
        for (((x, y), cosine), sine) in first.iter_mut().zip(second).zip(&self.cosines).zip(&self.sines) {
            (*x, *y) = (*x * cosine - *y * sine, *y * cosine + *x * sine);
        }
    }
}

/// `theta ^ (2i / head_dim)`.
fn powers(theta: f64, head_dim: usize) -> Vec<f32> {
    let exponents = (0..head_dim).step_by(2).map(|index| index as f32 / head_dim as f32);
    exponents.map(|exponent| theta.powf(f64::from(exponent)) as f32).collect()
}

fn frequencies(theta: f64, head_dim: usize) -> Vec<f32> {
    powers(theta, head_dim).into_iter().map(|power| 1.0 / power).collect()
}

fn llama3(frequency: f32, factor: f64, low: f64, high: f64, original: usize) -> f32 {
    let (factor, low, high, original) = (factor as f32, low as f32, high as f32, original as f32);
    let wavelength = 2.0 * PI as f32 / frequency;
    if wavelength > original / low {
        frequency / factor
    } else if wavelength < original / high {
        frequency
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * frequency / factor + smooth * frequency
    }
}

/// Frequencies of YaRN (arXiv 2309.00071).
fn yarn(theta: f64, head_dim: usize, scaling: &RopeScaling) -> Vec<f32> {
    let RopeScaling::Yarn { factor, original_max_position_embeddings, beta_fast, beta_slow, truncate, .. } = scaling
    else {
        unreachable!("called for YaRN");
    };
    let dim = head_dim as f64;
    let original = *original_max_position_embeddings as f64;
    let correction = |rotations: f64| dim * (original / (rotations * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (correction(*beta_fast), correction(*beta_slow));
    if *truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(dim - 1.0));
    if low == high {
        high += 0.001;
    }
    let blend = |(index, power): (usize, f32)| {
        let ramp = ((index as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
        let kept = 1.0 - ramp;
        1.0 / (*factor as f32 * power) * (1.0 - kept) + 1.0 / power * kept
    };
    powers(theta, head_dim).into_iter().enumerate().map(blend).collect()
}
