//! Mistakes to plant, each where a program could make it.

/// A mistake in what performs the decisions of the pure cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// The tracker hears that a record is durable when it was written.
    AcknowledgesBeforeSync,
    /// The same, for outcomes only: a lane goes on before its last outcome is durable.
    ReleasesLaneBeforeSync,
    /// A sync that failed is taken for one that succeeded.
    IgnoresFailedSync,
    /// A record that found no room is taken for written.
    IgnoresFailedAppend,
    /// Compaction leaves out what has ended: repeated ids are new again.
    ForgetsResultsAtCompaction,
    /// Every failure of a provider is called transient.
    RetriesPermanentErrors,
    /// A VM lives when a process has its pid.
    AdoptsByPid,
    /// Deadlines are measured by the wall clock.
    DeadlinesByWallClock,
    /// The end of a deed that was interrupted is told at once, while the provider still works.
    ReportsInterruptedAtOnce,
    /// What an earlier attempt left is not removed before the next.
    CreatesOverRemains,
    /// The VMs of an agent that ends go with it.
    TakesVmsAlong,
    /// A result is acknowledged before it is in the books.
    AcknowledgesBeforeBooks,
    /// Everything that was sent counts as acknowledged when the link breaks.
    CountsSentAsAcknowledged,
    /// What was on its way when a link broke is not delivered again.
    ForgetsUndelivered,
    /// An action is sent before the books know, so that a cancel in between is believed.
    SendsBeforeMarking,
    /// The control plane's expiry is judged by the host's own clock.
    ExpiresByOwnClock,
    /// An action is delivered to whoever asks first.
    DeliversToAnother,
    /// After a restart the ends of adopted VMs are not waited for, nor are VMs looked at.
    WatchesNoAdopted,
    /// A full queue is told as a refusal.
    RefusesWhenBusy,
    /// A journal tells of a loss at the first opening only.
    TellsOfALossOnce,
    /// What was admitted before records were lost is done, whatever became of it.
    DoesWhatMayHaveEnded,
    /// What was taken in once and is not known any more is taken in again.
    TakesInWhatItLost,
    /// An intent that has no end is taken for one that was never followed: its command is run again.
    RunsCommandsAgain,
    /// A command is run as soon as its intent is written.
    RunsCommandsBeforeIntent,
    /// The end of a command that was interrupted is told at once, while it still runs.
    ReportsCommandsAtOnce,
    /// What a command of a former run of the program has left running is not ended.
    LeavesCommandsRunning,
    /// Every command that exits has succeeded.
    IgnoresExitStatus,
    /// A command that was ended is told as one that was not started.
    CallsEndedNotStarted,
    /// What was taken in in time is begun however late its turn comes.
    ForgetsExpiry,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::AcknowledgesBeforeSync,
        Self::ReleasesLaneBeforeSync,
        Self::IgnoresFailedSync,
        Self::IgnoresFailedAppend,
        Self::ForgetsResultsAtCompaction,
        Self::RetriesPermanentErrors,
        Self::AdoptsByPid,
        Self::DeadlinesByWallClock,
        Self::ReportsInterruptedAtOnce,
        Self::CreatesOverRemains,
        Self::TakesVmsAlong,
        Self::AcknowledgesBeforeBooks,
        Self::CountsSentAsAcknowledged,
        Self::ForgetsUndelivered,
        Self::SendsBeforeMarking,
        Self::ExpiresByOwnClock,
        Self::DeliversToAnother,
        Self::WatchesNoAdopted,
        Self::RefusesWhenBusy,
        Self::TellsOfALossOnce,
        Self::DoesWhatMayHaveEnded,
        Self::TakesInWhatItLost,
        Self::RunsCommandsAgain,
        Self::RunsCommandsBeforeIntent,
        Self::ReportsCommandsAtOnce,
        Self::LeavesCommandsRunning,
        Self::IgnoresExitStatus,
        Self::CallsEndedNotStarted,
        Self::ForgetsExpiry,
    ];
}
