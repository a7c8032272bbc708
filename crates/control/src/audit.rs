//! The control plane's audit log: what is written when.
//!
//! `DATA_DIR/audit/` is the log, `DATA_DIR/audit.key` the key that signs it; both are described in `nkudo_audit`. The
//! server's scribe writes it; commands on the data directory leave their lines with [`leave`]. Who asks for something is
//! answered once the line is on record.

mod strangers;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use jiff::Timestamp;
use nkudo_domain::{Action, ActionId, ActionType, AgentId, TenantId};
use nkudo_host::clock;
use nkudo_metrics_core::Registry;
use nkudo_pki::AgentIdentity;
use nkudo_rpc::{RpcError, RpcErrorKind};
use nkudo_scribe::{Entry, Head, Options, Place, Room, Scribe, ScribeError, ScribeMetrics};
use nkudo_supervision::{ComponentError, Context};

use crate::config::Settings;
use crate::rest::Refused;
use strangers::{Kind, Strangers};

/// Said to whoever asks for something new while there is no room to put it on record.
const STORAGE_FULL: &str = "audit storage full";
/// Said while nothing can be put on record at all.
const BROKEN: &str =
    "no audit storage: the control plane's audit log cannot be written; nkudo health says why";
/// Who did what nobody asked for over the network.
const SERVER: &str = "server";
pub(crate) const COMMAND_LINE: &str = "command_line";

/// Where the server's parts have lines written. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Audit {
    scribe: Option<Scribe>,
    strangers: Arc<Mutex<Strangers>>,
}

/// The place of the log of this data directory.
pub fn place(data_dir: &Path) -> Place {
    Place::within(data_dir)
}

fn options(settings: &Settings) -> Options {
    Options::of_days(settings.audit_disk_bytes, settings.audit_keep_days)
}

fn now() -> Timestamp {
    Timestamp::from_millisecond(clock::wall_ms()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A line of something that somebody did, and that is done.
pub(crate) fn done(component: &'static str, operation: &'static str, actor: &str) -> Entry<'static> {
    Entry::new(now(), component, operation, actor.to_owned(), "succeeded")
}

/// Has a line be written by the server's scribe, or by this program where no server runs.
///
/// # Errors
/// When the line is not on the disk.
pub(crate) fn leave(place: &Place, entry: Entry<'static>) -> Result<(), ScribeError> {
    nkudo_scribe::leave(place, Options::default(), vec![entry], now())
}

impl Audit {
    /// Opens the log of a data directory. One that cannot be written is told in health, and nothing new is taken in.
    pub(crate) fn start(settings: &Settings, registry: &Registry) -> Result<Self, ScribeError> {
        let metrics: ScribeMetrics = nkudo_scribe::register(registry, nkudo_catalogue::PREFIX);
        let place = place(&settings.data_dir);
        let scribe = Scribe::start(place, options(settings), metrics, clock::wall_ms)?;
        Ok(Self { scribe: Some(scribe), ..Self::nowhere() })
    }

    /// Nothing is written: for tests of other parts.
    pub(crate) fn nowhere() -> Self {
        Self { scribe: None, strangers: Arc::default() }
    }

    /// Writes a line and waits until it is on record, or it is known that it is not: health tells that.
    pub(crate) async fn write(&self, entry: Entry<'static>) {
        if let Some(scribe) = &self.scribe {
            scribe.write(vec![entry]).await;
        }
    }

    /// Refuses what is new while it cannot be put on record. What makes an end of something is never refused.
    pub(crate) fn room(&self) -> Result<(), NoRoom> {
        self.let_in(false).inspect_err(|_| self.count_refused())
    }

    /// Whether a new action of this type can be put on record. A delete makes room: it may go into the reserve.
    pub(crate) fn room_for(&self, action_type: ActionType) -> Result<(), NoRoom> {
        self.let_in(action_type == ActionType::Delete)
    }

    fn let_in(&self, makes_room: bool) -> Result<(), NoRoom> {
        match self.scribe.as_ref().map(Scribe::room) {
            None | Some(Room::Free) => Ok(()),
            Some(Room::Reserve) if makes_room => Ok(()),
            Some(Room::Reserve | Room::None) => Err(NoRoom::Full),
            Some(Room::Broken) => Err(NoRoom::Broken),
        }
    }

    /// Counts that something was refused for want of room.
    pub(crate) fn count_refused(&self) {
        self.scribe.iter().for_each(Scribe::count_refused);
    }

    /// Something that somebody with a name asked for was refused. Where there is no room such lines are counted only.
    async fn refused(&self, entry: Entry<'static>) {
        if let Some(scribe) = &self.scribe {
            scribe.write_refusal(entry).await;
        }
    }

    /// As [`Audit::refused`], of what can be repeated at will.
    async fn sparingly(&self, kind: Kind, entry: Entry<'static>) {
        if let Some(entry) = self.first_of(kind, entry) {
            self.refused(entry).await;
        }
    }

    /// The line when it is the first of its kind in a minute, with how many came since the last that was written.
    fn first_of(&self, kind: Kind, entry: Entry<'static>) -> Option<Entry<'static>> {
        let before = self.with_strangers(|strangers| strangers.let_in(kind, clock::monotonic_ms()))?;
        Some(if before == 0 { entry } else { entry.field("not_written_before", before) })
    }

    fn with_strangers<T>(&self, look: impl FnOnce(&mut Strangers) -> T) -> T {
        look(&mut self.strangers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An action was taken in.
    pub(crate) async fn action_accepted(&self, asked: Asked) {
        self.write(asked.entry("action.accept", "accepted")).await;
    }

    pub(crate) async fn action_refused(&self, asked: Asked, why: &str) {
        self.refused(asked.entry("action.accept", "refused").field("reason", why.to_owned())).await;
    }

    /// Somebody asked for an action to be cancelled.
    pub(crate) async fn cancel_asked(&self, action_id: &ActionId, tenant_id: &TenantId, key_id: &str) {
        let entry = Entry::new(now(), "rest", "action.cancel", key_id.to_owned(), "asked");
        self.write(in_tenant(entry, tenant_id).field("action_id", action_id.to_string())).await;
    }

    /// Somebody with a key did something in their tenant.
    pub(crate) async fn done_by_key(
        &self,
        operation: &'static str,
        key_id: &str,
        tenant_id: &TenantId,
        (field, value): (&'static str, String),
    ) {
        self.write(in_tenant(done("rest", operation, key_id), tenant_id).field(field, value)).await;
    }

    /// A request without a key that is known.
    pub(crate) async fn access_unauthorized(
        &self,
        shown_key_id: Option<String>,
        route: &'static str,
        why: String,
    ) {
        let entry = access_refused("unknown", StatusCode::UNAUTHORIZED, route, why);
        let entry = match shown_key_id {
            Some(key_id) => entry.field("key_id_shown", key_id),
            None => entry,
        };
        self.sparingly(Kind::of_strangers("access unauthorized"), entry).await;
    }

    /// A request of somebody who may not do this: the id of their key, or of the agent.
    pub(crate) async fn access_forbidden(
        &self,
        actor: &str,
        tenant_id: &TenantId,
        route: &'static str,
        why: String,
    ) {
        let entry = in_tenant(access_refused(actor, StatusCode::FORBIDDEN, route, why), tenant_id);
        self.sparingly(Kind::of_known("access forbidden", tenant_id, actor), entry).await;
    }

    /// An agent was let in.
    pub(crate) async fn enrolled(
        &self,
        identity: &AgentIdentity,
        token_id: &str,
        hostname: &str,
        remote: String,
    ) {
        let entry = of_agent(done("grpc", "agent.enrol", &identity.agent_id.to_string()), identity);
        let entry = entry.field("token_id", token_id.to_owned()).field("hostname", hostname.to_owned());
        self.write(entry.field("remote", remote)).await;
    }

    pub(crate) async fn enrolment_refused(&self, remote: String, why: String) {
        let entry = Entry::new(now(), "grpc", "agent.enrol", "unknown", "refused");
        self.sparingly(Kind::of_strangers("enrolment"), entry.field("remote", remote).field("reason", why))
            .await;
    }

    /// An agent has a new certificate.
    pub(crate) async fn renewed(&self, identity: &AgentIdentity, serial: &str) {
        let entry = of_agent(done("grpc", "agent.renew", &identity.agent_id.to_string()), identity);
        self.write(entry.field("serial", serial.to_owned())).await;
    }

    /// An agent is out of the fleet; its certificates are revoked.
    pub(crate) async fn unenrolled(&self, tenant_id: &TenantId, agent_id: AgentId, by: &str) {
        let entry = in_tenant(done("control", "agent.unenrol", by), tenant_id);
        self.write(entry.field("agent_id", agent_id.to_string())).await;
    }

    /// A certificate that is not good.
    pub(crate) async fn certificate_refused(
        &self,
        identity: Option<&AgentIdentity>,
        remote: String,
        why: String,
    ) {
        let entry = Entry::new(now(), "grpc", "agent.certificate", "unknown", "refused");
        let entry = match identity {
            Some(identity) => of_agent(entry, identity),
            None => entry,
        };
        self.sparingly(Kind::of_strangers("certificate"), entry.field("remote", remote).field("reason", why))
            .await;
    }

    /// The audit log of an agent is shorter than it was, or another one.
    pub(crate) async fn agent_log_went_back(&self, identity: &AgentIdentity, kept: Head, told: Head) {
        let entry = Entry::new(now(), "grpc", "agent.audit_head", identity.agent_id.to_string(), "went_back");
        let what = format!("audit log of agent {} went back", identity.agent_id);
        let entry = of_agent(entry, identity).field("what", what);
        let entry = entry.field("kept", kept.to_string()).field("told", told.to_string());
        // Its agent decides how often it grows and goes back.
        let AgentIdentity { tenant_id, agent_id, .. } = identity;
        let kind = Kind::of_known("audit head", tenant_id, &agent_id.to_string());
        if let Some(entry) = self.first_of(kind, entry) {
            self.write(entry).await;
        }
    }

    /// The server has begun.
    pub(crate) async fn started(&self, version: &'static str) {
        let entry = Entry::new(now(), "server", "server.start", SERVER, "started");
        self.write(entry.field("version", version).field("pid", u64::from(std::process::id()))).await;
    }

    /// The configuration was read again. `changed` names the keys that took effect.
    pub(crate) async fn reloaded(&self, changed: Result<String, String>) {
        let outcome = if changed.is_ok() { "succeeded" } else { "failed" };
        let entry = Entry::new(now(), "server", "configuration.reload", "signal", outcome);
        self.write(match changed {
            Ok(keys) => entry.field("changed", keys),
            Err(reason) => entry.field("reason", reason),
        })
        .await;
    }

    /// Writes how many lines of refusals were left away in minutes that are over.
    pub(crate) async fn tick(&self) {
        for (kind, count) in self.with_strangers(|strangers| strangers.over(clock::monotonic_ms())) {
            let (actor, tenant_id) = match kind.of {
                Some((tenant_id, name)) => (name, Some(tenant_id)),
                None => ("unknown".to_owned(), None),
            };
            let entry = Entry::new(now(), "server", "refusals", actor, "refused");
            let entry = tenant_id.iter().fold(entry, in_tenant);
            self.refused(entry.field("kind", kind.word).field("not_written", count)).await;
        }
    }

    /// The part of the server that tells how the writing goes. It ends last, and its line is the last.
    pub(crate) async fn run(&self, context: &Context) -> Result<(), ComponentError> {
        let Some(scribe) = &self.scribe else { return Ok(()) };
        nkudo_scribe::watch(scribe, context).await?;
        self.write(Entry::new(now(), "server", "server.stop", SERVER, "stopped")).await;
        scribe.close().await;
        Ok(())
    }
}

/// What is new cannot be put on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    Full,
    Broken,
}

impl From<NoRoom> for Refused {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Full => Self::new(StatusCode::INSUFFICIENT_STORAGE, STORAGE_FULL),
            NoRoom::Broken => Self::new(StatusCode::SERVICE_UNAVAILABLE, BROKEN),
        }
    }
}

impl From<NoRoom> for RpcError {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Full => Self::new(RpcErrorKind::Exhausted, STORAGE_FULL),
            NoRoom::Broken => Self::new(RpcErrorKind::Internal, BROKEN),
        }
    }
}

/// What tells which action was asked for, of whom, and by whom.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    key_id: String,
    tenant_id: TenantId,
    agent_id: AgentId,
    fields: Vec<(&'static str, String)>,
}

impl Asked {
    pub(crate) fn of(action: &Action, agent_id: AgentId, tenant_id: &TenantId, key_id: &str) -> Self {
        let known = [
            Some(("action_id", action.action_id.to_string())),
            Some(("action_type", action.request.action_type().to_string())),
            action.request.vm_id().map(|vm_id| ("vm_id", vm_id.to_string())),
            action.request.program().map(|program| ("command", program.display().to_string())),
            action.trace_id.map(|id| ("trace_id", id.to_string())),
            action.correlation_id.clone().map(|id| ("correlation_id", id)),
        ];
        let fields = known.into_iter().flatten().collect();
        Self { key_id: key_id.to_owned(), tenant_id: tenant_id.clone(), agent_id, fields }
    }

    fn entry(self, operation: &'static str, outcome: &'static str) -> Entry<'static> {
        let Self { key_id, tenant_id, agent_id, fields } = self;
        let entry = in_tenant(Entry::new(now(), "rest", operation, key_id, outcome), &tenant_id);
        let entry = entry.field("agent_id", agent_id.to_string());
        fields.into_iter().fold(entry, |entry, (name, value)| entry.field(name, value))
    }
}

fn access_refused(actor: &str, status: StatusCode, route: &'static str, why: String) -> Entry<'static> {
    let entry = Entry::new(now(), "rest", "access", actor.to_owned(), "refused");
    entry.field("status", u64::from(status.as_u16())).field("route", route).field("reason", why)
}

pub(crate) fn in_tenant(entry: Entry<'static>, tenant_id: &TenantId) -> Entry<'static> {
    entry.field("tenant_id", tenant_id.to_string())
}

fn of_agent(entry: Entry<'static>, identity: &AgentIdentity) -> Entry<'static> {
    let AgentIdentity { tenant_id, site_id, agent_id } = identity;
    in_tenant(entry, tenant_id).field("site_id", site_id.to_string()).field("agent_id", agent_id.to_string())
}

#[cfg(test)]
mod tests;
