//! Choice of the next token from its logits.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::forward::vector::{exp, exponentials, largest};

/// How tokens are chosen; the fields have the names of `transformers.GenerationConfig`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divisor of the logits; 0 for the most probable token.
    pub temperature: f32,
    /// Number of most probable tokens to choose from; 0 for all.
    pub top_k: usize,
    /// Choose from the smallest set of most probable tokens whose probabilities add up to this.
    pub top_p: f32,
    /// Divisor of positive and factor of negative logits of tokens that the text already has; 1 for none.
    pub repetition_penalty: f32,
    /// Seed of the random numbers. Each text has its own numbers, which depend on the seed and its index.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { temperature: 0.0, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// Check the values.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field that is out of range.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(Error::invalid(format!("temperature must be finite and >= 0, got {}", self.temperature)));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::invalid(format!("top_p must be above 0 and at most 1, got {}", self.top_p)));
        }
        if !(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite()) {
            let penalty = self.repetition_penalty;
            return Err(Error::invalid(format!("repetition_penalty must be finite and above 0, got {penalty}")));
        }
        Ok(())
    }

    /// Choose a token and return it with its log-probability in nats.
    ///
    /// The log-probability is that of the whole distribution at the temperature (at temperature 1 for the most
    /// probable token), before `top_k` and `top_p`, as a trainer computes it. `logits` is overwritten.
    pub fn choose(&self, logits: &mut [f32], text: &[u32], random: &mut Random) -> (u32, f32) {
        self.penalize(logits, text);
        if self.temperature == 0.0 {
            let highest = largest(logits);
            let token = logits.iter().position(|logit| *logit == highest).unwrap_or(0);
            let sum = exponentials(logits, highest);
            return (token as u32, -sum.ln());
        }
        logits.iter_mut().for_each(|logit| *logit /= self.temperature);
        let highest = largest(logits);
        let everything = self.top_k == 0 && self.top_p >= 1.0;
        let mut kept = if everything { Vec::new() } else { self.most_probable(logits) };
        if everything {
            let (weights, original) = (logits, highest);
            let sum = exponentials(weights, original);
            let token = draw(weights.iter().copied(), random.uniform() * f64::from(sum));
            return (token as u32, (weights[token] / sum).max(f32::MIN_POSITIVE).ln());
        }
        let weights: Vec<f32> = kept.iter().map(|&token| exp(logits[token as usize] - highest)).collect();
        let sum: f64 = weights.iter().copied().map(f64::from).sum();
        let place = draw(weights.into_iter(), random.uniform() * sum);
        let token = kept.swap_remove(place);
        let chosen = logits[token as usize] - highest;
        (token, chosen - exponentials(logits, highest).ln())
    }

    /// Return the log-probability of a token, see [`Sampling::choose`], from penalized logits. They are overwritten.
    pub(crate) fn log_probability(&self, logits: &mut [f32], token: u32) -> f32 {
        if self.temperature != 0.0 {
            logits.iter_mut().for_each(|logit| *logit /= self.temperature);
        }
        let highest = largest(logits);
        let chosen = logits[token as usize] - highest;
        chosen - exponentials(logits, highest).ln()
    }

    /// Apply the repetition penalty for the tokens of a text.
    pub(crate) fn penalize(&self, logits: &mut [f32], text: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let mut seen = text.to_vec();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            let logit = &mut logits[token as usize];
            *logit = if *logit < 0.0 { *logit * self.repetition_penalty } else { *logit / self.repetition_penalty };
        }
    }

    /// Return the tokens that `top_k` and `top_p` leave, the most probable first.
    fn most_probable(&self, logits: &[f32]) -> Vec<u32> {
        let by_logit = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        let mut tokens: Vec<u32> = (0..logits.len() as u32).collect();
        if self.top_k > 0 && self.top_k < tokens.len() {
            tokens.select_nth_unstable_by(self.top_k - 1, by_logit);
            tokens.truncate(self.top_k);
        }
        if self.top_p < 1.0 {
            let highest = largest(logits);
            let total: f64 = tokens.iter().map(|&token| f64::from(exp(logits[token as usize] - highest))).sum();
            // Sorted in parts: the nucleus is usually small.
            let (mut sorted, mut sum) = (0, 0.0);
            while sorted < tokens.len() {
                let end = (2 * sorted).max(64).min(tokens.len());
                let rest = &mut tokens[sorted..];
                if end - sorted < rest.len() {
                    rest.select_nth_unstable_by(end - sorted - 1, by_logit);
                }
                rest[..end - sorted].sort_unstable_by(by_logit);
                for place in sorted..end {
                    // A token stays if those before it do not yet reach `top_p`.
                    sum += f64::from(exp(logits[tokens[place] as usize] - highest)) / total;
                    if sum >= f64::from(self.top_p) {
                        tokens.truncate(place + 1);
                        return tokens;
                    }
                }
                sorted = end;
            }
        }
        tokens
    }
}

/// Return the index at which the running sum exceeds a value, at the latest the last one with a weight.
fn draw(weights: impl Iterator<Item = f32>, value: f64) -> usize {
    let (mut sum, mut last) = (0.0, 0);
    for (index, weight) in weights.enumerate() {
        sum += f64::from(weight);
        if sum > value {
            return index;
        }
        if weight > 0.0 {
            last = index;
        }
    }
    last
}

/// Random numbers of one text: SplitMix64 by Sebastiano Vigna.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Create the generator of the text with an index.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut start = Random(seed);
        let base = start.next();
        Random(base ^ Random(index.wrapping_mul(0xd134_2543_de82_ef95)).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Return a number from 0 to below 1.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_the_distribution_and_top_k_and_top_p_cut_it() {
        let logits = [1.0f32, 3.0, 2.0, 0.0, -1.0];
        let shares = |sampling: &Sampling| {
            let mut random = Random::new(7, 0);
            let mut counts = [0; 5];
            for _ in 0..20_000 {
                counts[sampling.choose(&mut logits.clone(), &[], &mut random).0 as usize] += 1;
            }
            counts.map(|count| f64::from(count) / 20_000.0)
        };
        let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let all = Sampling { temperature: 1.0, ..Sampling::default() };
        for (share, logit) in shares(&all).iter().zip(logits) {
            assert!((share - f64::from(logit).exp() / total).abs() < 0.02);
        }
        let two = shares(&Sampling { top_k: 2, ..all.clone() });
        assert!(two[0] == 0.0 && two[3] == 0.0 && two[4] == 0.0 && (two[1] - 0.731).abs() < 0.02);
        // The first token has 64 %, two have 88 %.
        let nucleus = shares(&Sampling { top_p: 0.8, ..all });
        assert!(nucleus[0] == 0.0 && nucleus[1] > 0.0 && nucleus[2] > 0.0);
    }

    #[test]
    fn log_probabilities_are_those_of_the_whole_distribution() {
        let logits = [1.0f32, 3.0, 2.0];
        let sampling = Sampling { temperature: 0.5, top_k: 1, ..Sampling::default() };
        let (token, found) = sampling.choose(&mut logits.clone(), &[], &mut Random::new(0, 0));
        let sum: f64 = logits.iter().map(|logit| (2.0 * f64::from(*logit)).exp()).sum();
        assert_eq!(token, 1);
        assert!((f64::from(found) - (6.0 - sum.ln())).abs() < 1e-6);
    }
}
