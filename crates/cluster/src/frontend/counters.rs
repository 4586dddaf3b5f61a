//! What is counted for INFO beside commands.

/// What is counted for INFO since the start or since CONFIG RESETSTAT.
#[derive(Default)]
pub(crate) struct Counters {
    pub(super) rejected_connections: u64,
    pub(super) memory_peak: u64,
    /// What stood in counters that never begin anew, at the time of the reset.
    pub(super) before: Before,
}

/// The values at the last CONFIG RESETSTAT of counters that others keep.
#[derive(Clone, Copy, Default)]
pub(super) struct Before {
    pub(super) connections: u64,
    pub(super) input_bytes: u64,
    pub(super) output_bytes: u64,
}

impl Counters {
    /// A client was turned away because there are too many.
    pub(crate) fn count_rejected(&mut self) {
        self.rejected_connections += 1;
    }

    /// Begins anew.
    pub(super) fn reset(&mut self, before: Before) {
        *self = Self { before, ..Self::default() };
    }
}
