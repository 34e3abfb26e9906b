//! Early exit of tokens (Ouro, arXiv 2510.25741, section 3).

use super::vector::log_sigmoid;

/// Cumulative exit probability of one token.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExitState {
    log_stay: f32,
    reached: f32,
}

impl ExitState {
    /// Add the logit of the exit gate after a loop, and return the probability of having left by then.
    pub fn after_loop(&mut self, gate_logit: f32) -> f32 {
        self.reached += (log_sigmoid(gate_logit) + self.log_stay).exp();
        self.log_stay += log_sigmoid(-gate_logit);
        self.reached
    }
}
