//! What the tracker is told about its host, and time.

use std::path::PathBuf;

use nkudo_domain::ProviderKind;

use crate::lost::Lost;

/// The time of a step, on three clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds on the clock that never steps and stands still while the host sleeps: for durations.
    pub monotonic_ms: u64,
    /// Milliseconds since the host booted, its sleep included: for deadlines.
    pub boottime_ms: u64,
    /// Unix time in milliseconds: for people.
    pub wall_ms: i64,
}

/// Bounds and facts of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Actions admitted and not ended; more are refused.
    pub queue_max: usize,
    /// Deeds performed at once, over all VMs.
    pub parallel_max: usize,
    /// Results kept for answering repeated ids. When this many are younger than [`Config::results_keep_ms`],
    /// new actions are refused rather than an old answer forgotten.
    pub results_max: usize,
    /// How long a result is kept at the least.
    pub results_keep_ms: u64,
    /// Executions kept one by one; older ones roll into aggregates.
    pub history_max: usize,
    /// Attempts of one deed, the first included.
    pub attempts_max: u32,
    /// Programs that commands may run on this host, by their paths.
    pub commands_allow: Vec<PathBuf>,
    /// Commands admitted and not ended; more are refused.
    pub commands_max: usize,
    /// Bytes of commands' outputs kept with the results; past it the oldest that are owed to nobody go.
    pub outputs_max: usize,
    /// Tells one boot of the host from another.
    pub boot: u64,
    /// Memory of the host, in bytes.
    pub memory_bytes: u64,
    /// What can run VMs here, the preferred first.
    pub providers: Vec<ProviderKind>,
    /// Names the results of a journal that has no name for them yet: a new name each time the program starts.
    pub outbox_id: String,
    /// What could not be read of the journal.
    pub lost: Lost,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_max: 4_096,
            parallel_max: 8,
            results_max: 50_000,
            results_keep_ms: 7 * 24 * 3_600_000,
            history_max: 1_000,
            attempts_max: 3,
            commands_allow: Vec::new(),
            commands_max: 64,
            outputs_max: 8 << 20,
            boot: 0,
            memory_bytes: u64::MAX,
            providers: Vec::new(),
            outbox_id: String::new(),
            lost: Lost::Nothing,
        }
    }
}
