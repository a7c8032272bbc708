//! What changes the identity, or tries it: each a call to the control plane and a change on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nkudo_domain::AgentId;
use nkudo_fleet::Skew;
use nkudo_host::clock;
use nkudo_host::lock::LockedFile;
use nkudo_logging::log_end;
use nkudo_pki::{EnrolmentToken, PkiError, PrivateKey, agent_client, enrolling_client};
use nkudo_rpc::message::{Enrol, Enrolled, Facts, Heartbeat, NewCertificate};
use nkudo_rpc::{ConnectError, Connection, RpcError, RpcErrorKind, Target};
use nkudo_scribe::ScribeError;

use super::stored::{Identity, IdentityDir, Made, StoredError};
use crate::audit::{Actor, record_identity};
use crate::config::Settings;
use crate::daemon::LOG_NAME;

/// How long a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long a call may take.
const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// Why a call that concerns the identity did not succeed. The sentence names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error("{0}")]
    Target(String),
    #[error("{0}")]
    Token(PkiError),
    #[error("this host is enrolled already, as agent {agent_id}; enrol it anew with --force")]
    AlreadyEnrolled { agent_id: AgentId },
    #[error("this host is not enrolled; enrol it with edge-agent enroll")]
    NotEnrolled,
    #[error("the credentials of this host cannot be used; enrol it again with --force")]
    Credentials(#[from] PkiError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}: {error}", step(error.kind))]
    Refused { error: RpcError },
    #[error("the control plane did not answer within {} s", CALL_DEADLINE.as_secs())]
    Deadline,
    #[error("the certificate of this host expired; enrol it again with --force")]
    Expired,
    #[error("it is done, but it is not in the audit log; look at edge-agent health")]
    NotOnRecord(#[source] ScribeError),
}

/// Which step of a call failed, for people.
fn step(kind: RpcErrorKind) -> &'static str {
    match kind {
        RpcErrorKind::Tls => "TLS",
        RpcErrorKind::Unauthenticated | RpcErrorKind::PermissionDenied => "authorisation",
        RpcErrorKind::Invalid => "the request was refused",
        RpcErrorKind::Version => "version: the control plane and this agent do not fit each other",
        RpcErrorKind::Exhausted => "the control plane has too much to do",
        RpcErrorKind::Unavailable | RpcErrorKind::Broken | RpcErrorKind::Deadline => {
            "the control plane does not answer"
        }
        RpcErrorKind::Internal => "the control plane failed",
    }
}

/// What this host says of itself.
pub(crate) fn facts() -> Facts {
    let hostname = nkudo_host::facts::read().map(|facts| facts.hostname).unwrap_or_default();
    Facts {
        hostname,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: std::collections::BTreeMap::new(),
    }
}

/// A call within its deadline.
async fn within<T>(call: impl Future<Output = Result<T, RpcError>>) -> Result<T, IdentityError> {
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Ok(answered) => answered.map_err(|error| IdentityError::Refused { error }),
        Err(_) => Err(IdentityError::Deadline),
    }
}

/// A host that was enrolled.
#[derive(Debug)]
pub struct Enrolment {
    pub identity: Identity,
    /// The agent that this host was before, when it is still in its fleet: an operator has to unenrol it.
    pub left_behind: Option<AgentId>,
}

/// Takes the agent that this host was out of its fleet, as far as its certificate still lets it; answers it when it has
/// to stay.
async fn leave(former: Option<Identity>) -> Option<AgentId> {
    let former = former?;
    match tell_unenrolled(&former).await {
        Ok(()) => None,
        // It was unenrolled over there before.
        Err(IdentityError::Refused { error }) if error.kind == RpcErrorKind::Unauthenticated => None,
        Err(error) => {
            tracing::warn!(agent_id = %former.agent_id, reason = %error, "the former agent stays in its fleet");
            Some(former.agent_id)
        }
    }
}

/// Enrols this host: the key is made here and stays here. An identity that is there is replaced only with `force`.
///
/// # Errors
/// When the host is enrolled already, the URL or the token is none, or the control plane does not let it in. What was
/// there stays then.
pub async fn enroll(
    settings: &Settings,
    control_plane: &str,
    token: &str,
    force: bool,
) -> Result<Enrolment, IdentityError> {
    let enrolled = Box::pin(try_enroll(settings, control_plane, token, force)).await;
    let facts = |enrolment: &Enrolment| enrolment.identity.facts();
    on_record(&settings.state_dir, "identity.enrol", Actor::CommandLine, enrolled, facts).await
}

async fn try_enroll(
    settings: &Settings,
    control_plane: &str,
    token: &str,
    force: bool,
) -> Result<Enrolment, IdentityError> {
    let target: Target = control_plane.parse().map_err(IdentityError::Target)?;
    let parsed: EnrolmentToken = token.parse().map_err(IdentityError::Token)?;
    let dir = IdentityDir::of(&settings.state_dir);
    let lock = dir.lock()?;
    let former = dir.load();
    match &former {
        Ok(Some(identity)) if !force => {
            return Err(IdentityError::AlreadyEnrolled { agent_id: identity.agent_id });
        }
        Ok(_) | Err(_) => {}
    }
    let former = match former {
        Ok(former) => former,
        // What is damaged is replaced.
        Err(_) if force => None,
        Err(error) => return Err(error.into()),
    };
    let key = PrivateKey::generate()?;
    let request = Enrol { token: parsed.reveal(), csr_pem: key.request()?, facts: facts() };
    let connection = Connection::open(&target, enrolling_client(parsed.ca), CONNECT_DEADLINE).await?;
    let enrolled = within(connection.enrol(request)).await?;
    let Enrolled { tenant_id, site_id, agent_id, certificate } = enrolled;
    let logs = settings.logs.directory(&settings.state_dir);
    let made = move || {
        // As late as can be: what a daemon logs until now is of the agent that this host was.
        let log_from = Some(log_end(&logs, LOG_NAME)?);
        Ok(Made { tenant_id, site_id, agent_id, control_plane: target, key, log_from })
    };
    let identity = take_over(lock, dir, made, certificate).await?;
    Ok(Enrolment { identity, left_behind: leave(former).await })
}

/// A new key and a new certificate over the one that is still good.
///
/// # Errors
/// When the host is not enrolled, its certificate has expired, or the control plane refuses. What was there stays then.
pub async fn renew(state_dir: &Path, by: Actor) -> Result<Identity, IdentityError> {
    let renewed = Box::pin(try_renew(state_dir)).await;
    on_record(state_dir, "identity.renew", by, renewed, Identity::facts).await
}

async fn try_renew(state_dir: &Path) -> Result<Identity, IdentityError> {
    let dir = IdentityDir::of(state_dir);
    let lock = dir.lock()?;
    let identity = dir.load()?.ok_or(IdentityError::NotEnrolled)?;
    if identity.certificate.not_after_ms <= clock::wall_ms() {
        return Err(IdentityError::Expired);
    }
    let key = PrivateKey::generate()?;
    let connection = open(&identity).await?;
    let certificate = within(connection.renew(key.request()?)).await?;
    let Identity { tenant_id, site_id, agent_id, control_plane, log_from, .. } = identity;
    let made = move || Ok(Made { tenant_id, site_id, agent_id, control_plane, key, log_from });
    take_over(lock, dir, made, certificate).await
}

/// Puts an identity in force and answers it as it is on disk. Slow storage holds up nobody else, and
/// the lock is held until all is written, also when nobody waits for that any more.
async fn take_over(
    lock: LockedFile,
    dir: IdentityDir,
    made: impl FnOnce() -> Result<Made, StoredError> + Send + 'static,
    certificate: NewCertificate,
) -> Result<Identity, IdentityError> {
    let written = tokio::task::spawn_blocking(move || {
        let _held = lock;
        dir.save(&made()?, &certificate)?;
        dir.load()
    });
    match written.await {
        Ok(identity) => identity?.ok_or(IdentityError::NotEnrolled),
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The program ends; what is on disk is whole.
            Err(_) => Err(IdentityError::Deadline),
        },
    }
}

/// How a host left its fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unenrolled {
    /// The control plane has revoked the certificates.
    Revoked,
    /// The control plane does not know; an operator has to revoke the agent.
    LocallyOnly,
}

/// Gives the identity up: the control plane revokes it, then it is removed here. With `force` it is removed although
/// the control plane was not told.
///
/// # Errors
/// When the host is not enrolled, or the control plane was not told and `force` is not given.
pub async fn unenroll(state_dir: &Path, force: bool, by: Actor) -> Result<Unenrolled, IdentityError> {
    let agent_id = IdentityDir::of(state_dir).load().ok().flatten().map(|identity| identity.agent_id);
    let unenrolled = Box::pin(try_unenroll(state_dir, force)).await;
    let facts = |how: &Unenrolled| {
        let revoked = ("revoked", (*how == Unenrolled::Revoked).to_string());
        agent_id.map(|id| ("agent_id", id.to_string())).into_iter().chain([revoked]).collect()
    };
    on_record(state_dir, "identity.unenrol", by, unenrolled, facts).await
}

/// Has what became of the identity be in the audit log before anybody is told.
async fn on_record<T: Sync>(
    state_dir: &Path,
    operation: &'static str,
    by: Actor,
    ended: Result<T, IdentityError>,
    facts: impl FnOnce(&T) -> Vec<(&'static str, String)>,
) -> Result<T, IdentityError> {
    let told = ended.as_ref().map(facts).map_err(|error| error as &(dyn std::error::Error + Sync));
    let recorded = record_identity(state_dir, operation, by, told).await;
    // What failed is told for itself.
    let done = ended?;
    recorded.map_err(IdentityError::NotOnRecord)?;
    Ok(done)
}

async fn try_unenroll(state_dir: &Path, force: bool) -> Result<Unenrolled, IdentityError> {
    let dir = IdentityDir::of(state_dir);
    let _lock = dir.lock()?;
    let identity = match dir.load() {
        Ok(None) => return Err(IdentityError::NotEnrolled),
        Ok(Some(identity)) => Some(identity),
        Err(_) if force => None,
        Err(error) => return Err(error.into()),
    };
    let told = match &identity {
        Some(identity) => tell_unenrolled(identity).await,
        None => Err(IdentityError::NotEnrolled),
    };
    let how = match told {
        Ok(()) => Unenrolled::Revoked,
        // It was unenrolled over there before: there is nothing left to revoke.
        Err(IdentityError::Refused { error }) if error.kind == RpcErrorKind::Unauthenticated => {
            Unenrolled::Revoked
        }
        Err(_) if force => Unenrolled::LocallyOnly,
        Err(error) => return Err(error),
    };
    dir.remove()?;
    Ok(how)
}

async fn tell_unenrolled(identity: &Identity) -> Result<(), IdentityError> {
    let connection = open(identity).await?;
    within(connection.unenrol()).await
}

/// A heartbeat that was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    pub round_trip_ms: u64,
    pub server_time_ms: i64,
    /// The control plane's clock minus this host's.
    pub skew: Skew,
}

/// Sends one heartbeat now, over a connection of its own.
///
/// # Errors
/// When the host is not enrolled, or the step of the way that failed.
pub async fn verify_heartbeat(state_dir: &Path) -> Result<Verified, IdentityError> {
    let identity = IdentityDir::of(state_dir).load()?.ok_or(IdentityError::NotEnrolled)?;
    let connection = open(&identity).await?;
    let (sent_at_ms, started) = (clock::wall_ms(), Instant::now());
    let heartbeat = Heartbeat {
        sent_at_ms,
        health: "healthy".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        // The daemon tells it.
        audit_head: None,
    };
    let answer = within(connection.heartbeat(heartbeat)).await?;
    let round_trip_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let skew = Skew::measure(sent_at_ms, round_trip_ms, answer.server_time_ms);
    Ok(Verified { round_trip_ms, server_time_ms: answer.server_time_ms, skew })
}

/// A connection with the host's certificate.
pub(crate) async fn open(identity: &Identity) -> Result<Connection, IdentityError> {
    let tls: Arc<_> = agent_client(&identity.ca_pem, &identity.certificate_pem, &identity.key)?;
    Ok(Connection::open(&identity.control_plane, tls, CONNECT_DEADLINE).await?)
}
