//! Deeds and commands, each in a task of its own.

use std::hash::BuildHasher as _;

use nkudo_domain::{ActionId, HostCommand, Observation, ResourceUsage};
use nkudo_journal::Disk;
use nkudo_tracker::{DeedFailure, DeedReport, Work};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Done, Running};
use crate::deed;
use crate::observer::Observer;

impl<D: Disk + Clone> Running<'_, D> {
    pub(super) fn start_deed(&mut self, action_id: ActionId, attempt: u32, work: Box<Work>) {
        let Some(provider) = self.provider(work.provider) else {
            // The tracker chooses among the providers it was told of; one that is gone since a restart of the
            // program is an error of the deed.
            let error = format!("provider {} cannot be used on this host", work.provider);
            self.spans.attempt(&action_id, attempt, work.deed).record("error", &error);
            let report = DeedReport {
                result: Err(DeedFailure::Failed { error, transient: false }),
                observation: Observation::Unresponsive,
                usage: ResourceUsage::default(),
                jitter_permille: 0,
            };
            self.tasks.spawn(async move { Done::Deed { action_id, attempt, report: Box::new(report) } });
            return;
        };
        let interrupt = CancellationToken::new();
        self.deeds.insert(action_id.clone(), interrupt.clone());
        let jitter_permille = self.jitter_permille(&action_id, attempt);
        let Observer { metrics, operations, .. } = &self.executor.observer;
        let (metrics, operations) = (metrics.clone(), operations.clone());
        let attempt_span = self.spans.attempt(&action_id, attempt, work.deed);
        self.tasks.spawn(async move {
            let performed = deed::perform(provider, work, interrupt, jitter_permille, metrics, operations);
            let report = performed.instrument(attempt_span).await;
            Done::Deed { action_id, attempt, report: Box::new(report) }
        });
    }

    /// The standard library seeds its hasher from the system's randomness, which is all that jitter needs.
    fn jitter_permille(&self, action_id: &ActionId, attempt: u32) -> u16 {
        u16::try_from(self.random.hash_one((action_id, attempt)) % 1_000).unwrap_or(0)
    }

    pub(super) fn start_command(&mut self, action_id: ActionId, command: Box<HostCommand>) {
        let interrupt = CancellationToken::new();
        self.deeds.insert(action_id.clone(), interrupt.clone());
        let span = self.spans.command(&action_id, &command);
        let commands = self.executor.commands.clone();
        self.tasks.spawn(async move {
            let run = commands.run(action_id.clone(), command, interrupt);
            let report = Box::new(run.instrument(span).await);
            Done::Command { action_id, report }
        });
    }
}
