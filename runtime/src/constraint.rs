//! Tries of the tokens with which a completion may begin.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::sampling::{Random, Sampling};

/// Following node of an entry after which the completion is free.
pub const FREE: i64 = -1;

/// A trie of tokens. While a completion is at a node, only the tokens of the node's entries can be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Constraint<'a> {
    starts: &'a [usize],
    tokens: &'a [u32],
    additions: &'a [f32],
    following: &'a [i64],
}

impl<'a> Constraint<'a> {
    /// Create the constraint after a check of all numbers.
    ///
    /// Node `n` has the entries from `starts[n]` to before `starts[n + 1]`. Each entry has a token, an addition to the
    /// token's logit, and the node after it, or [`FREE`]. A completion begins at node 0.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field, its rule and the value.
    pub fn new(
        starts: &'a [usize],
        tokens: &'a [u32],
        additions: &'a [f32],
        following: &'a [i64],
        vocab_size: usize,
    ) -> Result<Self> {
        let [first, .., last] = starts else {
            let found = starts.len();
            return Err(Error::invalid(format!("starts of a constraint must have at least 2 numbers, got {found}")));
        };
        let count = tokens.len();
        if (additions.len(), following.len()) != (count, count) {
            let (additions, following) = (additions.len(), following.len());
            return Err(Error::invalid(format!(
                "tokens, additions and following of a constraint must be equally many, got {count}, {additions} and \
                 {following}"
            )));
        }
        if (*first, *last) != (0, count) {
            return Err(Error::invalid(format!(
                "starts of a constraint must begin with 0 and end with the number of entries {count}, got {first} and \
                 {last}"
            )));
        }
        if let Some(node) = starts.windows(2).position(|pair| pair[0] >= pair[1]) {
            let (start, end) = (starts[node], starts[node + 1]);
            return Err(Error::invalid(format!(
                "a node of a constraint must have at least one entry, got entries from {start} to before {end} in node \
                 {node}"
            )));
        }
        let constraint = Constraint { starts, tokens, additions, following };
        constraint.check_entries(vocab_size)?;
        Ok(constraint)
    }

    /// Check the entries of nodes whose ranges are valid.
    fn check_entries(&self, vocab_size: usize) -> Result<()> {
        let nodes = self.starts.len() - 1;
        let mut seen_in = vec![usize::MAX; vocab_size];
        for node in 0..nodes {
            for entry in self.starts[node]..self.starts[node + 1] {
                let (token, addition, following) = (self.tokens[entry], self.additions[entry], self.following[entry]);
                let Some(seen) = seen_in.get_mut(token as usize) else {
                    return Err(Error::invalid(format!(
                        "tokens of a constraint must be below vocab_size={vocab_size}, got {token} in entry {entry}"
                    )));
                };
                if *seen == node {
                    return Err(Error::invalid(format!(
                        "tokens of a node of a constraint must differ, got {token} twice in node {node}"
                    )));
                }
                *seen = node;
                if !addition.is_finite() {
                    return Err(Error::invalid(format!(
                        "additions of a constraint must be finite, got {addition} in entry {entry}"
                    )));
                }
                // Later nodes only, so that no completion can come back to a node.
                let later = usize::try_from(following).is_ok_and(|next| next > node && next < nodes);
                if following != FREE && !later {
                    return Err(Error::invalid(format!(
                        "following of an entry must be {FREE} or a node after its own, {node}, and below {nodes}, got \
                         {following} in entry {entry}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// The place at which a completion begins.
    pub fn start(self) -> Place<'a> {
        Place { constraint: self, node: 0 }
    }
}

/// A node of a constraint, at which a completion is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    constraint: Constraint<'a>,
    node: usize,
}

impl<'a> Place<'a> {
    /// Choose one of the node's tokens. Return it with its log-probability in nats and the place after it.
    ///
    /// As in the logits processors of transformers, the logits are changed after the repetition penalty and before
    /// the temperature, `top_k` and `top_p`. The log-probability is that of [`Sampling::choose`], in the distribution
    /// over all tokens without the constraint. `logits` is overwritten.
    pub fn choose(
        self,
        sampling: &Sampling,
        logits: &mut [f32],
        text: &[u32],
        random: &mut Random,
    ) -> (u32, f32, Option<Place<'a>>) {
        let Constraint { starts, tokens, additions, following } = self.constraint;
        sampling.penalize(logits, text);
        let entries = starts[self.node]..starts[self.node + 1];
        let mut allowed: Vec<f32> =
            entries.clone().map(|entry| logits[tokens[entry] as usize] + additions[entry]).collect();
        let penalized = Sampling { repetition_penalty: 1.0, ..sampling.clone() };
        let (chosen, _) = penalized.choose(&mut allowed, &[], random);
        let entry = entries.start + chosen as usize;
        let log_probability = sampling.log_probability(logits, tokens[entry]);
        let after = usize::try_from(following[entry]).ok().map(|node| Place { node, ..self });
        (tokens[entry], log_probability, after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, 2.0, 0.0, -1.0];

    /// Tokens 2, after which comes 3, and 4.
    fn two_tokens(additions: &[f32; 3]) -> Constraint<'_> {
        Constraint::new(&[0, 2, 3], &[2, 4, 3], additions, &[1, FREE, FREE], 5).unwrap()
    }

    #[test]
    fn the_frequencies_of_allowed_tokens_are_their_weights_and_the_way_is_followed() {
        let additions = [-2.0, 0.5, 0.0];
        let sampling = Sampling { temperature: 1.0, ..Sampling::default() };
        let (mut random, mut second) = (Random::new(3, 0), 0);
        for _ in 0..20_000 {
            let start = two_tokens(&additions).start();
            let (token, _, after) = start.choose(&sampling, &mut LOGITS.clone(), &[], &mut random);
            match after {
                Some(place) => {
                    let (next, _, free) = place.choose(&sampling, &mut LOGITS.clone(), &[], &mut random);
                    assert!(token == 2 && next == 3 && free.is_none());
                }
                None => {
                    assert_eq!(token, 4);
                    second += 1;
                }
            }
        }
        // The logits are 2 - 2 and -1 + 0.5.
        let expected = 1.0 / (1.0 + 0.5f64.exp());
        assert!((f64::from(second) / 20_000.0 - expected).abs() < 0.02);
    }

    #[test]
    fn the_addition_is_made_after_the_penalty_and_before_the_temperature() {
        let choose = |addition: f32| {
            let sampling = Sampling { repetition_penalty: 2.0, ..Sampling::default() };
            let additions = [0.0, addition, 0.0];
            two_tokens(&additions).start().choose(&sampling, &mut LOGITS.clone(), &[2, 4], &mut Random::new(0, 0)).0
        };
        // The penalty makes 2 to 1 and -1 to -2.
        assert_eq!((choose(2.9), choose(3.1)), (2, 4));
        let sampling = Sampling { temperature: 0.25, ..Sampling::default() };
        let (additions, mut random, mut first) = ([0.0, 2.5, 0.0], Random::new(5, 0), 0);
        for _ in 0..20_000 {
            let start = two_tokens(&additions).start();
            first += u32::from(start.choose(&sampling, &mut LOGITS.clone(), &[], &mut random).0 == 2);
        }
        // The logits 2 and 1.5 are divided by 0.25 together.
        assert!((f64::from(first) / 20_000.0 - 1.0 / (1.0 + (-2.0f64).exp())).abs() < 0.02);
    }

    #[test]
    fn log_probabilities_are_those_without_the_constraint() {
        let additions = [0.0, 100.0, 0.0];
        for (temperature, divisor) in [(0.0, 1.0), (0.5, 0.5)] {
            let sampling = Sampling { temperature, top_p: 0.5, ..Sampling::default() };
            let start = two_tokens(&additions).start();
            let (token, found, _) = start.choose(&sampling, &mut LOGITS.clone(), &[], &mut Random::new(0, 0));
            let sum: f64 = LOGITS.iter().map(|logit| (f64::from(*logit) / divisor).exp()).sum();
            assert_eq!(token, 4);
            assert!((f64::from(found) - (-1.0 / divisor - sum.ln())).abs() < 1e-5);
        }
    }

    #[test]
    fn wrong_numbers_are_refused_with_their_field() {
        let refused = |starts: &[usize], tokens: &[u32], additions: &[f32], following: &[i64], rule: &str| {
            let message = Constraint::new(starts, tokens, additions, following, 5).unwrap_err().to_string();
            assert!(message.contains(rule), "{message}");
        };
        refused(&[0], &[], &[], &[], "starts of a constraint must have at least 2 numbers, got 1");
        refused(&[0, 1], &[1], &[0.0], &[], "must be equally many, got 1, 1 and 0");
        refused(&[1, 1], &[1], &[0.0], &[FREE], "must begin with 0 and end with the number of entries 1, got 1 and 1");
        refused(&[0, 2], &[1], &[0.0], &[FREE], "must begin with 0 and end with the number of entries 1, got 0 and 2");
        refused(&[0, 1, 1], &[1], &[0.0], &[FREE], "at least one entry, got entries from 1 to before 1 in node 1");
        refused(&[0, 9, 1], &[1], &[0.0], &[FREE], "at least one entry, got entries from 9 to before 1 in node 1");
        refused(&[0, 1], &[5], &[0.0], &[FREE], "must be below vocab_size=5, got 5 in entry 0");
        refused(&[0, 2], &[1, 1], &[0.0; 2], &[FREE; 2], "must differ, got 1 twice in node 0");
        refused(&[0, 1], &[1], &[f32::NEG_INFINITY], &[FREE], "additions of a constraint must be finite, got -inf");
        refused(&[0, 1], &[1], &[0.0], &[1], "below 1, got 1 in entry 0");
        refused(&[0, 1], &[1], &[0.0], &[-2], "got -2 in entry 0");
        refused(&[0, 1, 2], &[1, 1], &[0.0; 2], &[1, 0], "a node after its own, 1, and below 2, got 0 in entry 1");
        refused(&[0, 1], &[1], &[0.0], &[0], "a node after its own, 0, and below 1, got 0 in entry 0");
    }
}
