//! The agents' side: who calls, and what each call does.

mod identity;
mod session;

use std::sync::Arc;

use async_trait::async_trait;
use nkudo_pki::{AgentIdentity, Peer};
use nkudo_rpc::message::{Enrol, Enrolled, Heartbeat, HeartbeatAnswer, NewCertificate};
use nkudo_rpc::{AgentCalls, Caller, FromAgentStream, RpcError, RpcErrorKind, ToAgentStream};
use nkudo_store::StoreError;
use tracing::{Instrument as _, Span};

pub(crate) use identity::{NotRenewed, renew};

use crate::control::Control;
use crate::roster::Now;
use crate::traces::{AGENT, TENANT};

/// What is kept of an agent's word for its health, in bytes.
const HEALTH_MAX_BYTES: usize = 32;

/// The span of an agent's call: of the trace that the agent names, or of a new one.
macro_rules! call_span {
    ($level:ident, $name:literal, $caller:expr) => {
        tracing::$level!(
            $name,
            otel.kind = "server",
            trace_id = $caller.traceparent.map(|parent| tracing::field::display(parent.trace_id)),
            parent_span_id = $caller.traceparent.map(|parent| tracing::field::display(parent.parent_id)),
            // Known once the caller is.
            tenant_id = tracing::field::Empty,
            agent_id = tracing::field::Empty,
            refused = tracing::field::Empty,
            error = tracing::field::Empty,
        )
    };
}

/// Answers a call within its span, which says why when that fails. Whose call it is not known is refused, and the span has
/// not failed: failed traces are kept before all others, and a stranger could fill the list with them.
async fn within<T>(span: Span, answered: impl Future<Output = Result<T, RpcError>>) -> Result<T, RpcError> {
    let answer = answered.instrument(span.clone()).await;
    if let Err(error) = &answer {
        let is_stranger = error.kind == RpcErrorKind::Unauthenticated;
        span.record(if is_stranger { "refused" } else { "error" }, error as &dyn std::error::Error);
    }
    answer
}

/// The calls of agents.
pub(crate) struct Calls(pub(crate) Arc<Control>);

#[async_trait]
impl AgentCalls for Calls {
    async fn enrol(&self, caller: Caller, enrol: Enrol) -> Result<Enrolled, RpcError> {
        let control = Arc::clone(&self.0);
        let enrolling = async move {
            let span = call_span!(info_span, "grpc Enroll", caller);
            let enrolled = within(span, identity::enrol(&control, enrol, caller.remote)).await;
            control.metrics.enrolment(enrolled.is_ok());
            if let Err(refusal) = &enrolled {
                tracing::warn!(remote = %caller.remote, reason = %refusal, "enrolment refused");
                control.audit.enrolment_refused(caller.remote.to_string(), refusal.to_string()).await;
            }
            enrolled
        };
        self.0.deeds.finish(enrolling).await
    }

    async fn renew(&self, caller: Caller, csr_pem: String) -> Result<NewCertificate, RpcError> {
        let (control, span) = (Arc::clone(&self.0), call_span!(info_span, "grpc Renew", caller));
        let renewed = async move {
            let peer = authenticate(&control, &caller).await?;
            renew(&control, &peer, &csr_pem).await.map_err(|error| match error {
                NotRenewed::Request(sentence) => RpcError::new(RpcErrorKind::Invalid, sentence),
                NotRenewed::Unenrolled => unenrolled(),
                NotRenewed::Store(error) => store_failed(&error),
            })
        };
        self.0.deeds.finish(within(span, renewed)).await
    }

    async fn unenrol(&self, caller: Caller) -> Result<(), RpcError> {
        let (control, span) = (Arc::clone(&self.0), call_span!(info_span, "grpc Unenroll", caller));
        let unenrolled = async move {
            let peer = authenticate(&control, &caller).await?;
            let identity = &peer.identity;
            let by = identity.agent_id.to_string();
            let unenrolled = control.unenrol(&identity.tenant_id, identity.agent_id, &by).await;
            unenrolled.map(drop).map_err(|error| store_failed(&error))
        };
        self.0.deeds.finish(within(span, unenrolled)).await
    }

    async fn heartbeat(&self, caller: Caller, heartbeat: Heartbeat) -> Result<HeartbeatAnswer, RpcError> {
        // Every agent calls every few seconds.
        let peer =
            within(call_span!(debug_span, "grpc Heartbeat", caller), authenticate(&self.0, &caller)).await?;
        let now = Now::read();
        let Heartbeat { sent_at_ms, mut health, version: _, audit_head } = heartbeat;
        health.truncate(health.floor_char_boundary(HEALTH_MAX_BYTES));
        self.0.roster.heartbeat(peer.identity.agent_id, sent_at_ms, health, now);
        self.0.metrics.heartbeats.inc();
        if let Some(told) = audit_head
            && let Some(kept) = self.0.roster.audit_head(peer.identity.agent_id, told)
        {
            let control = Arc::clone(&self.0);
            let told = async move { control.agent_log_went_back(&peer.identity, kept, told).await };
            self.0.deeds.finish(told).await;
        }
        Ok(HeartbeatAnswer { server_time_ms: now.wall_ms, interval: self.0.roster.interval() })
    }

    async fn link(&self, caller: Caller, messages: FromAgentStream) -> Result<ToAgentStream, RpcError> {
        // The stream goes on for days; what goes over it has spans of its own.
        let peer = within(call_span!(info_span, "grpc Link", caller), authenticate(&self.0, &caller)).await?;
        Ok(session::serve(Arc::clone(&self.0), peer, messages))
    }
}

/// The agent whose certificate came with the call: issued here, to an agent that is still enrolled.
pub(crate) async fn authenticate(control: &Control, caller: &Caller) -> Result<Peer, RpcError> {
    let known = judge(control, caller).await;
    if let Err(error) = &known
        && error.kind == RpcErrorKind::Unauthenticated
    {
        let identity = caller.peer.as_ref().map(|peer| &peer.identity);
        control.audit.certificate_refused(identity, caller.remote.to_string(), error.to_string()).await;
    }
    known
}

async fn judge(control: &Control, caller: &Caller) -> Result<Peer, RpcError> {
    let refused = |sentence: &str| RpcError::new(RpcErrorKind::Unauthenticated, sentence);
    let Some(peer) = &caller.peer else {
        return Err(refused(
            "this call needs the agent's certificate; enrol the host with edge-agent enroll",
        ));
    };
    let known = control.store.certificate(&peer.serial).await.map_err(|error| store_failed(&error))?;
    let now_ms = nkudo_host::clock::wall_ms();
    match known {
        None => {
            Err(refused("the certificate is not in the books of this control plane; enrol the host again"))
        }
        Some(certificate)
            if certificate.agent_id != peer.identity.agent_id
                || certificate.tenant_id != peer.identity.tenant_id =>
        {
            Err(refused("the certificate's names are not those it was issued for; enrol the host again"))
        }
        Some(certificate) if certificate.revoked_at_ms.is_some() => Err(unenrolled()),
        Some(certificate) if certificate.expires_at_ms <= now_ms => Err(refused(
            "the certificate has expired; look at both clocks, and enrol the host again with --force",
        )),
        Some(_) => {
            span_is_of(&peer.identity);
            Ok(peer.clone())
        }
    }
}

/// Says in the call's span whose it is.
fn span_is_of(identity: &AgentIdentity) {
    let span = Span::current();
    span.record(TENANT, tracing::field::display(&identity.tenant_id));
    span.record(AGENT, tracing::field::display(identity.agent_id));
}

fn unenrolled() -> RpcError {
    let sentence = "the certificate was revoked: the agent was unenrolled; enrol the host again";
    RpcError::new(RpcErrorKind::Unauthenticated, sentence)
}

/// A failure of the books, for the agent: it tries again later.
fn store_failed(error: &StoreError) -> RpcError {
    tracing::error!(error = error as &dyn std::error::Error, "the store failed an agent's call");
    RpcError::new(RpcErrorKind::Unavailable, format!("the control plane's database does not answer: {error}"))
}

/// The label of a call in the metrics.
pub(crate) fn route(path: &str) -> &'static str {
    const ROUTES: [&str; 5] = [
        "/nkudo.agent.v1.AgentService/Enroll",
        "/nkudo.agent.v1.AgentService/Renew",
        "/nkudo.agent.v1.AgentService/Unenroll",
        "/nkudo.agent.v1.AgentService/Heartbeat",
        "/nkudo.agent.v1.AgentService/Link",
    ];
    ROUTES.into_iter().find(|route| *route == path).unwrap_or("unknown")
}
