//! Why an agent was away from its control plane, and for how long.
//!
//! The principal type is [`Ledger`]. It hears what the link meets ([`Failure`]), looks at the clocks ([`Moment`]), and
//! answers with the [`Record`]s by which it is known again after a kill. What it holds are [`Outage`]s.
//!
//! # Rules
//! 1. A *gap* begins with the first failure after the control plane was last heard, and ends when it is heard again. It
//!    began when the control plane was last heard where silence broke the link ([`Failure::is_silent`]), now where
//!    somebody said something, and with the daemon, or the enrolment, where nothing was heard since.
//! 2. A failure has one cause ([`Failure::cause`]). What breaks a link that was open is *doubtful*: nobody can say from
//!    it whether the network went or the other end. Such a gap takes the cause of the first failure that is not.
//! 3. When two tries in a row fail for another cause than that of the gap, the gap ends with the first of them, and
//!    another begins there. One such try alone changes nothing. So each outage has one cause, and outages of a gap follow
//!    one another without a hole.
//! 4. Where the clock that goes on while the host sleeps runs ahead of the one that does not, the host slept: a `suspend`
//!    of that length, until now. Where the daemon has not looked for half a minute without that, it stood still, as by SIGSTOP:
//!    a `suspend` of that length too. Where the wall clock does not go with them, it was set: a `clock_step`, of no length.
//!    Both are told beside a gap that they fall into, whose length they do not change.
//! 5. No outage reaches over the end of a daemon's life: what was open ends when the daemon was last known to live. From
//!    there to the next start it is `stopped` where the daemon said that it ends on purpose, `crash` where it said
//!    that a part failed for good or said nothing, `reboot` where it said nothing and the host has booted since.
//! 6. The daemon is known to have lived by a stamp that is at most [`STAMP_EVERY_MS`] old, or by a record that is younger.
//!
//! Records that are cut off exactly after one of them look as if there had never been more, but where [`Ledger::is_cut`] can
//! tell. Without that the outages in them are forgotten, what was open counts until the last record that is left, and
//! numbers are given again: the control plane keeps the outage that it had first of each.
//!
//! **Invariant:** outages are numbered in the order in which they end, each number is given once, and what was
//! acknowledged is not told again.

mod gap;
mod ledger;
mod record;

use nkudo_domain::OutageCause;
use serde::{Deserialize, Serialize};

pub use gap::Gap;
pub use ledger::{Beginning, Ledger};
pub use nkudo_domain::Outage;
pub use record::{Entry, Record};

/// Outages that are kept, the newest.
pub const OUTAGES_MAX: usize = 1_000;
/// Longest evidence, in bytes; what is longer is cut.
pub const EVIDENCE_MAX_BYTES: usize = 1 << 10;
/// How often the daemon writes down that it lives, in milliseconds.
pub const STAMP_EVERY_MS: u64 = 60_000;
/// Shorter sleeps of the host are not told, in milliseconds.
const SUSPEND_MIN_MS: u64 = 1_000;
/// A daemon that looks every second and has not looked for so long stood still.
const STOOD_STILL_MIN_MS: u64 = 30_000;
/// Smaller steps of the wall clock are not told, in milliseconds.
const CLOCK_STEP_MIN_MS: u64 = 1_000;

/// The clocks of a host, all read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Unix milliseconds; it is set and stepped.
    pub wall_ms: i64,
    /// Milliseconds since the boot; goes on while the host sleeps.
    pub boottime_ms: u64,
    /// Milliseconds; stands still while the host sleeps.
    pub monotonic_ms: u64,
}

/// What a try to reach the control plane met, or what ended a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The name of the control plane was not resolved.
    Name,
    /// There is no way to its address, or nothing answers from there.
    Unreachable,
    /// Its host answered, and nobody listens at the port.
    NobodyListens,
    /// It let itself be reached, and then said nothing in time.
    Mute,
    /// What answers does not speak as a control plane does.
    Foreign,
    /// It answered that it cannot, or does not want to.
    Unavailable,
    /// It asked to be left alone for a while: it is about to end.
    AskedToWait,
    /// It closed the link without a word.
    Closed,
    /// One end does not take the certificate of the other, or the host has none that can be read.
    Credentials,
    /// An open link broke, or a heartbeat on it was not answered.
    Broke,
    /// A part of the agent did not do its work.
    Part,
}

impl Failure {
    /// What it is blamed on.
    pub fn cause(self) -> OutageCause {
        match self {
            Self::Name | Self::Unreachable | Self::Broke => OutageCause::Link,
            Self::NobodyListens
            | Self::Mute
            | Self::Foreign
            | Self::Unavailable
            | Self::AskedToWait
            | Self::Closed => OutageCause::ControlPlane,
            Self::Credentials => OutageCause::Credentials,
            Self::Part => OutageCause::Crash,
        }
    }

    /// Nobody can say from it whose fault it was.
    pub fn is_doubtful(self) -> bool {
        self == Self::Broke
    }

    /// Nothing was heard: when the link was lost is not known, but when it was last there.
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Name | Self::Unreachable | Self::Mute | Self::Broke)
    }
}

#[cfg(test)]
mod tests;
