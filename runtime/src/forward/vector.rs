//! Loops over slices of floats that the compiler turns into vector instructions.
//!
//! Sums have one fixed order, 16 interleaved lanes that are added as a tree, so that a result does not depend on the
//! instruction set, the number of threads or the other rows of a batch.

/// Number of interleaved partial sums.
pub const LANES: usize = 16;

/// Add the lanes as a tree.
pub fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Return the sum of squares.
pub fn sum_of_squares(values: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    for (lane, value) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += value * value;
    }
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane] * chunk[lane];
        }
    }
    sum_lanes(lanes)
}

/// Return the dot product.
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (left, right) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    for ((lane, a), b) in lanes.iter_mut().zip(left.remainder()).zip(right.remainder()) {
        *lane += a * b;
    }
    for (a, b) in left.zip(right) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    sum_lanes(lanes)
}

/// Return the largest value, or negative infinity if there is none.
pub fn largest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
        }
    }
    lanes.into_iter().fold(rest, f32::max)
}

/// Replace each value by `exp(value - shift)` and return the sum.
pub fn exponentials(values: &mut [f32], shift: f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let mut chunks = values.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for lane in 0..LANES {
            chunk[lane] = exp(chunk[lane] - shift);
            lanes[lane] += chunk[lane];
        }
    }
    for (lane, value) in lanes.iter_mut().zip(chunks.into_remainder()) {
        *value = exp(*value - shift);
        *lane += *value;
    }
    sum_lanes(lanes)
}

/// `exp` with an error of about one unit in the last place, without branches, so that loops over it are vectorized.
///
/// Values below -87 give 2^-126, those above 88 give exp(88).
#[inline(always)]
#[allow(clippy::excessive_precision)] // The constants of Cephes' expf, by Stephen Moshier.
pub fn exp(value: f32) -> f32 {
    let value = value.clamp(-87.336_54, 88.0);
    // Adding 1.5 * 2^23 rounds to an integer.
    const ROUNDING: f32 = 12_582_912.0;
    let power = (value * std::f32::consts::LOG2_E + ROUNDING) - ROUNDING;
    let rest = value - power * 0.693_359_375 - power * -2.121_944_4e-4;
    let mut sum = 1.987_569_15e-4;
    for factor in [1.398_199_95e-3, 8.333_451_9e-3, 4.166_579_6e-2, 1.666_666_55e-1, 5.000_000_1e-1] {
        sum = sum * rest + factor;
    }
    let sum = sum * rest * rest + rest + 1.0;
    // `power` is an integer from -126 to 127, so the conversion is exact.
    sum * f32::from_bits(((power as i32 + 127) as u32) << 23)
}

/// `log(1 / (1 + exp(-value)))`, as accurate as PyTorch's `logsigmoid`.
pub fn log_sigmoid(value: f32) -> f32 {
    value.min(0.0) - (-value.abs()).exp().ln_1p()
}

/// `1 / (1 + exp(-value))`.
#[inline(always)]
pub fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + exp(-value))
}

/// Write `silu(gate) * up` into `gate`.
pub fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exp(-*gate)) * up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let mut value = -87.3f32;
        while value < 88.0 {
            let exact = f64::from(value).exp();
            assert!(((f64::from(exp(value)) - exact) / exact).abs() < 2.4e-7, "{value}");
            value += 0.003_7;
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
    }

    #[test]
    fn log_sigmoid_neither_overflows_nor_cancels() {
        assert_eq!(log_sigmoid(200.0), 0.0);
        assert_eq!(log_sigmoid(-200.0), -200.0);
        assert!((log_sigmoid(0.0) + std::f32::consts::LN_2).abs() < 1e-7);
    }
}
