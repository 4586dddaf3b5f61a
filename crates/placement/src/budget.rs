//! How many moves may be begun: a bucket of tokens that fills at a steady rate.

use types::Monotonic;

use crate::policy::Policy;

/// Tokens for moves of leases that are made for balance. Failover, drain and pins need none.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Budget {
    tokens: f64,
    filled_at: Option<Monotonic>,
    /// Moves that this round may still begin for nodes that aren't urgent.
    round: u32,
}

impl Budget {
    pub(crate) fn new(policy: &Policy) -> Self {
        Self { tokens: f64::from(policy.move_burst), filled_at: None, round: 0 }
    }

    /// Adds what has accrued since the last time.
    pub(crate) fn refill(&mut self, now: Monotonic, policy: &Policy) {
        let since = self.filled_at.map_or(0.0, |before| now.since(before).as_secs_f64());
        let burst = f64::from(policy.move_burst);
        self.tokens = (self.tokens + since * policy.move_rate).min(burst);
        self.filled_at = Some(now);
    }

    /// Begins a round in a cluster of so many shards.
    pub(crate) fn begin_round(&mut self, shards: usize, policy: &Policy) {
        let share = (shards as f64 * policy.round_moves_share) as u32;
        self.round = share.max(policy.round_moves_floor);
    }

    /// Whether a move may begin. An urgent node may use up the bucket at once.
    pub(crate) fn allows(&self, urgent: bool) -> bool {
        self.tokens >= 1.0 && (urgent || self.round > 0)
    }

    /// Takes the token of a move that begins.
    pub(crate) fn spend(&mut self) {
        self.tokens -= 1.0;
        self.round = self.round.saturating_sub(1);
    }
}
