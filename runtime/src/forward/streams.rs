//! Residual connections: the plain one, and several mixed residual streams (mHC-lite, arXiv 2601.05732).
//!
//! The streams of a token are adjacent: hidden states have the shape `(tokens, streams, hidden)`.

use super::norm::inverse_norm;
use super::vector::sigmoid;
use crate::error::Result;
use crate::floats::Matrix;
use crate::pool::Pool;

/// Mixing coefficients of one sublayer, which are constants or depend on the token.
pub struct Streams {
    count: usize,
    bias: Vec<f32>,
    /// Projection of all streams to the coefficients, and its scales; `None` if the coefficients are constants.
    dynamic: Option<(Matrix, [f32; 3])>,
    permutations: Vec<Vec<usize>>,
    epsilon: f32,
}

/// Coefficients of the tokens of a pass.
pub struct Coefficients {
    count: usize,
    /// Per token `pre`, `post` and the flattened `mixing`; one entry for all tokens if they are constants.
    values: Vec<f32>,
}

impl Streams {
    /// Create the residual connection of a sublayer.
    ///
    /// `projection` has the shape `(streams, coefficients, hidden)`.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] if it is not finite.
    pub fn new(count: usize, bias: Vec<f32>, dynamic: Option<(Vec<f32>, [f32; 3])>, epsilon: f32) -> Result<Self> {
        let arrange = |(projection, scale): (Vec<f32>, [f32; 3])| {
            let coefficients = bias.len();
            let hidden = projection.len() / count / coefficients;
            // One row per coefficient, over the adjacent streams of a token.
            let mut rows = Vec::with_capacity(projection.len());
            for coefficient in 0..coefficients {
                for stream in 0..count {
                    let start = (stream * coefficients + coefficient) * hidden;
                    rows.extend_from_slice(&projection[start..start + hidden]);
                }
            }
            Ok((Matrix::f32(coefficients, count * hidden, &rows)?, scale))
        };
        let dynamic = dynamic.map(arrange).transpose()?;
        Ok(Streams { count, bias, dynamic, permutations: permutations(count), epsilon })
    }

    /// Number of streams.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Compute the coefficients of the tokens in `states`, of shape `(tokens, streams, hidden)`.
    pub fn coefficients(&self, pool: &Pool, states: &[f32], tokens: usize) -> Coefficients {
        let size = self.bias.len();
        let logits = match &self.dynamic {
            None => self.bias.clone(),
            Some((projection, scale)) => {
                let mut logits = vec![0.0; tokens * size];
                projection.multiply(pool, states, tokens, &mut logits);
                let width = states.len() / tokens;
                for (logits, states) in logits.chunks_exact_mut(size).zip(states.chunks_exact(width)) {
                    let inverse = inverse_norm(states, self.epsilon);
                    for (index, (logit, bias)) in logits.iter_mut().zip(&self.bias).enumerate() {
                        *logit = bias + *logit * inverse * scale[(index / self.count).min(2)];
                    }
                }
                logits
            }
        };
        let values = logits.chunks_exact(size).flat_map(|logits| self.activated(logits)).collect();
        Coefficients { count: self.count, values }
    }

    fn activated(&self, logits: &[f32]) -> Vec<f32> {
        let count = self.count;
        let mut values: Vec<f32> = logits[..count].iter().map(|logit| sigmoid(*logit)).collect();
        values.extend(logits[count..2 * count].iter().map(|logit| 2.0 * sigmoid(*logit)));
        let logits = &logits[2 * count..];
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
        let sum: f32 = weights.iter().sum();
        let mut mixing = vec![0.0; count * count];
        for (weight, permutation) in weights.iter().zip(&self.permutations) {
            for (row, column) in permutation.iter().enumerate() {
                mixing[row * count + column] += weight / sum;
            }
        }
        values.extend(mixing);
        values
    }
}

impl Coefficients {
    fn of(&self, token: usize) -> (&[f32], &[f32], &[f32]) {
        let (count, size) = (self.count, self.count * (self.count + 2));
        let start = if self.values.len() == size { 0 } else { token * size };
        let values = &self.values[start..start + size];
        (&values[..count], &values[count..2 * count], &values[2 * count..])
    }

    /// Write the input of the sublayer, a weighted sum of the streams of a token.
    pub fn read(&self, token: usize, streams: &[f32], input: &mut [f32]) {
        let (pre, _, _) = self.of(token);
        input.fill(0.0);
        for (factor, stream) in pre.iter().zip(streams.chunks_exact(input.len())) {
            for (input, value) in input.iter_mut().zip(stream) {
                *input += factor * value;
            }
        }
    }

    /// Mix the streams of a token and add the output of the sublayer.
    pub fn write(&self, token: usize, streams: &mut [f32], output: &[f32]) {
        let (_, post, mixing) = self.of(token);
        match self.count {
            2 => mix::<2>(streams, output, post, mixing),
            4 => mix::<4>(streams, output, post, mixing),
            count => unreachable!("the configuration allows 1, 2 and 4 streams, got {count}"),
        }
    }
}

fn mix<const N: usize>(streams: &mut [f32], output: &[f32], post: &[f32], mixing: &[f32]) {
    let hidden = output.len();
    for (feature, output) in output.iter().enumerate() {
        let old: [f32; N] = std::array::from_fn(|stream| streams[stream * hidden + feature]);
        for stream in 0..N {
            let row = &mixing[stream * N..stream * N + N];
            let mut sum = row[0] * old[0];
            for other in 1..N {
                sum += row[other] * old[other];
            }
            streams[stream * hidden + feature] = sum + post[stream] * output;
        }
    }
}

/// All permutations of `0..count` in lexicographic order.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    let with_first = |first: usize| {
        let rest = shorter.iter().map(move |rest| rest.iter().map(move |&place| place + usize::from(place >= first)));
        rest.map(move |rest| std::iter::once(first).chain(rest).collect())
    };
    (0..count).flat_map(with_first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_have_the_order_of_itertools() {
        let found = permutations(3);
        assert_eq!(found, [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]);
        assert_eq!(permutations(4).len(), 24);
    }
}
