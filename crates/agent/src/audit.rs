//! The agent's audit log: what is written when.
//!
//! `STATE_DIR/audit/` is the log, `STATE_DIR/audit.key` the key that signs it; both are described in `nkudo_audit`. The
//! daemon's scribe writes it. Whoever changes the identity, in whatever program, leaves its line with [`record_identity`].

mod steps;

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use nkudo_domain::{Action, ActionId, AskedBy};
use nkudo_executor::Witness;
use nkudo_host::clock;
use nkudo_metrics_core::Registry;
use nkudo_scribe::{Entry, Head, Options, Place, Scribe, ScribeError, ScribeMetrics};
use nkudo_supervision::{ComponentError, Context};

use crate::config::Settings;
use crate::link::told;
use steps::Steps;

/// Who did what is in no action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// Somebody at the command line of this host.
    CommandLine,
    /// Somebody over the agent's socket.
    LocalSocket,
    ControlPlane,
    /// The daemon by itself.
    Daemon,
    /// Whoever sent the daemon a signal.
    Signal,
}

impl Actor {
    const fn as_str(self) -> &'static str {
        match self {
            Self::CommandLine => "command_line",
            Self::LocalSocket => "local_socket",
            Self::ControlPlane => "control_plane",
            Self::Daemon => "daemon",
            Self::Signal => "signal",
        }
    }
}

/// Where the daemon's parts have lines written. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    scribe: Option<Scribe>,
    steps: Option<Arc<Steps>>,
}

/// The place of the log of this host.
pub fn place(state_dir: &Path) -> Place {
    Place::within(state_dir)
}

fn options(settings: &Settings) -> Options {
    Options::of_days(settings.audit_disk_bytes, settings.audit_keep_days)
}

/// The same clock for all lines.
fn now() -> Timestamp {
    at(clock::wall_ms())
}

fn at(wall_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(wall_ms).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Audit {
    /// Opens the log of this host. One that cannot be written is told in health, and nothing new is taken in.
    pub(crate) fn start(settings: &Settings, metrics: ScribeMetrics) -> Result<Self, ScribeError> {
        let place = place(&settings.state_dir);
        let scribe = Scribe::start(place, options(settings), metrics, clock::wall_ms)?;
        let steps = Arc::new(Steps::new(scribe.clone(), clock::wall_ms));
        Ok(Self { scribe: Some(scribe), steps: Some(steps) })
    }

    /// Exposes what becomes of lines.
    pub(crate) fn register(registry: &Registry) -> ScribeMetrics {
        nkudo_scribe::register(registry, nkudo_catalogue::PREFIX)
    }

    /// Nothing is written: for agents within other programs.
    pub(crate) const fn nowhere() -> Self {
        Self { scribe: None, steps: None }
    }

    /// Who puts steps of actions on record.
    pub(crate) fn witness(&self) -> Option<Arc<dyn Witness>> {
        self.steps.clone().map(|steps| steps as _)
    }

    /// Whether an action was begun here of which the journal knows nothing: its records were lost.
    pub(crate) fn outlived(&self, action_id: &ActionId) -> bool {
        self.steps.as_ref().is_some_and(|steps| steps.outlived(action_id))
    }

    /// What the control plane is to keep of the log.
    pub(crate) fn head_to_tell(&self) -> Option<Head> {
        self.scribe.as_ref()?.head_to_tell()
    }

    /// The control plane has heard it.
    pub(crate) fn head_told(&self, head: Option<Head>) {
        if let (Some(scribe), Some(head)) = (&self.scribe, head) {
            scribe.head_told(head);
        }
    }

    /// Writes a line and waits until it is on record, or it is known that it is not: health tells that.
    async fn write(&self, entry: Entry<'static>) {
        if let Some(scribe) = &self.scribe {
            scribe.write(vec![entry]).await;
        }
    }

    /// An action was not taken in. Where there is no room such lines are counted only, and the count is a line.
    pub(crate) async fn refused(&self, asked: Asked, why: &str) {
        let Some(scribe) = &self.scribe else { return };
        let entry = asked.entry("action.accept", "refused").field("reason", why.to_owned());
        scribe.write_refusal(entry).await;
    }

    /// Somebody asked for an action to be cancelled.
    pub(crate) async fn cancel_asked(&self, action_id: &ActionId, by: AskedBy) {
        let entry = Entry::new(now(), "executor", "action.cancel", by.as_str(), "asked");
        self.write(entry.field("action_id", action_id.to_string())).await;
    }

    /// The daemon has begun.
    pub(crate) async fn started(&self, version: &'static str) {
        let entry = Entry::new(now(), "daemon", "daemon.start", Actor::Daemon.as_str(), "started");
        self.write(entry.field("version", version).field("pid", u64::from(std::process::id()))).await;
    }

    /// The configuration was read again. `changed` names the keys that took effect.
    pub(crate) async fn reloaded(&self, changed: Result<String, String>) {
        let outcome = if changed.is_ok() { "succeeded" } else { "failed" };
        let entry = Entry::new(now(), "daemon", "configuration.reload", Actor::Signal.as_str(), outcome);
        self.write(match changed {
            Ok(keys) => entry.field("changed", keys),
            Err(reason) => entry.field("reason", reason),
        })
        .await;
    }

    /// The level of the log was set at run time.
    pub(crate) async fn log_level_set(&self, level: &'static str) {
        let actor = Actor::LocalSocket.as_str();
        let entry = Entry::new(now(), "daemon", "configuration.log_level", actor, "succeeded");
        self.write(entry.field("level", level)).await;
    }

    /// The control plane does not take the certificate of this host any more.
    pub(crate) async fn certificate_refused(&self, reason: &str) {
        let actor = Actor::ControlPlane.as_str();
        let entry = Entry::new(now(), "identity", "identity.certificate", actor, "refused");
        self.write(entry.field("reason", reason.to_owned())).await;
    }

    /// The part of the daemon that tells how the writing goes. It ends last, and its line is the last.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), ComponentError> {
        let Some(scribe) = &self.scribe else { return Ok(()) };
        nkudo_scribe::watch(scribe, context).await?;
        self.write(Entry::new(now(), "daemon", "daemon.stop", Actor::Daemon.as_str(), "stopped")).await;
        scribe.close().await;
        Ok(())
    }

    /// Has everything be written and lets go of the log: for a program without parts.
    pub(crate) async fn close(&self) {
        if let Some(scribe) = &self.scribe {
            scribe.close().await;
        }
    }
}

/// What tells which action was asked for, and by whom.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    action_id: ActionId,
    by: AskedBy,
    action_type: Option<&'static str>,
    vm_id: Option<String>,
    command: Option<String>,
    trace_id: Option<String>,
    correlation_id: Option<String>,
}

impl Asked {
    pub(crate) fn of(action: &Action) -> Self {
        Self {
            action_id: action.action_id.clone(),
            by: action.asked_by,
            action_type: Some(action.request.action_type().as_str()),
            vm_id: action.request.vm_id().map(|vm_id| vm_id.to_string()),
            command: action.request.program().map(|program| program.display().to_string()),
            trace_id: action.trace_id.map(|id| id.to_string()),
            correlation_id: action.correlation_id.clone(),
        }
    }

    /// One of which nothing else could be read.
    pub(crate) const fn unreadable(action_id: ActionId, by: AskedBy) -> Self {
        Self {
            action_id,
            by,
            action_type: None,
            vm_id: None,
            command: None,
            trace_id: None,
            correlation_id: None,
        }
    }

    fn entry(self, operation: &'static str, outcome: &'static str) -> Entry<'static> {
        let entry = Entry::new(now(), "executor", operation, self.by.as_str(), outcome)
            .field("action_id", self.action_id.to_string());
        let optional = [
            ("action_type", self.action_type.map(str::to_owned)),
            ("vm_id", self.vm_id),
            ("command", self.command),
            ("trace_id", self.trace_id),
            ("correlation_id", self.correlation_id),
        ];
        with_known(entry, optional)
    }
}

/// The fields whose values are known.
fn with_known(
    entry: Entry<'static>,
    fields: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> Entry<'static> {
    fields.into_iter().fold(entry, |entry, (name, value)| match value {
        Some(value) => entry.field(name, value),
        None => entry,
    })
}

/// A change of the identity, or the attempt, as a line: by the daemon's scribe, or by this program where there is no
/// daemon.
///
/// # Errors
/// When the line is not on the disk.
pub(crate) async fn record_identity(
    state_dir: &Path,
    operation: &'static str,
    by: Actor,
    ended: Result<Vec<(&'static str, String)>, &(dyn std::error::Error + Sync)>,
) -> Result<(), ScribeError> {
    let outcome = if ended.is_ok() { "succeeded" } else { "failed" };
    let entry = Entry::new(now(), "identity", operation, by.as_str(), outcome);
    let entry = match ended {
        Ok(fields) => fields.into_iter().fold(entry, |entry, (name, value)| entry.field(name, value)),
        Err(error) => entry.field("reason", told(error)),
    };
    let place = place(state_dir);
    let left = move || nkudo_scribe::leave(&place, Options::default(), vec![entry], now());
    match tokio::task::spawn_blocking(left).await {
        Ok(left) => left,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The program ends; the line was handed over.
            Err(_) => Ok(()),
        },
    }
}
