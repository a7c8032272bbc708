//! What a provider finds on the host about one VM, told fact by fact, for people who want to know why.

use nkudo_domain::Observation;

/// What is found of a VM, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// In the order in which they are best read.
    pub facts: Vec<Fact>,
    /// What its hypervisor told last, the newest at the end; at most [`EVENTS_MAX`].
    pub events: Vec<VmEvent>,
    pub observation: Observation,
    /// Why that follows, as a sentence.
    pub why: String,
}

/// Most events that are told of one VM.
pub const EVENTS_MAX: usize = 8;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// A stable word, such as `lock` or `monitor`.
    pub name: &'static str,
    /// Whether it is as it is with a VM that lives; none where that says nothing either way.
    pub holds: Option<bool>,
    /// What was seen, or the exact error.
    pub detail: String,
}

/// Something that a hypervisor told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmEvent {
    /// Unix time in milliseconds, by the hypervisor's clock.
    pub at_ms: i64,
    pub event: String,
    /// None where it gave none.
    pub reason: Option<String>,
}

impl Fact {
    pub(crate) fn seen(name: &'static str, holds: bool, detail: impl Into<String>) -> Self {
        Self { name, holds: Some(holds), detail: detail.into() }
    }

    pub(crate) fn beside(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, holds: None, detail: detail.into() }
    }
}
