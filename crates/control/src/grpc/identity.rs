//! Enrolment and renewal: from a certificate request to a certificate.

use std::net::SocketAddr;

use nkudo_domain::AgentId;
use nkudo_pki::{AgentIdentity, EnrolmentToken, Peer, PkiError, digest, same};
use nkudo_rpc::message::{Enrol, Enrolled, Facts, NewCertificate};
use nkudo_rpc::{RpcError, RpcErrorKind};
use nkudo_store::{self as store, CertificateRecord, Enrolment, Refusal, StoreError};

use super::{span_is_of, store_failed};
use crate::control::Control;

/// Longest text among an agent's facts, in bytes.
const FACT_MAX_BYTES: usize = 255;
/// Most labels of an agent.
const LABELS_MAX: usize = 64;

/// Lets an agent in.
pub(super) async fn enrol(control: &Control, enrol: Enrol, remote: SocketAddr) -> Result<Enrolled, RpcError> {
    let refused = |sentence: &str| RpcError::new(RpcErrorKind::Unauthenticated, sentence);
    let token: EnrolmentToken = enrol.token.parse().map_err(|error: PkiError| refused(&error.to_string()))?;
    if token.ca != control.authority.fingerprint() {
        return Err(refused("the token is of another control plane; make one here"));
    }
    let known = control.store.token(&token.token_id).await.map_err(|error| store_failed(&error))?;
    let now_ms = nkudo_host::clock::wall_ms();
    let known = known
        .filter(|known| same(&known.secret_digest, &digest(&token.secret)))
        .ok_or_else(|| refused(refusal(Refusal::Unknown)))?;
    // Said before a certificate is made; the books decide again, in one transaction.
    if known.expires_at_ms <= now_ms {
        return Err(refused(refusal(Refusal::Expired)));
    }
    if known.uses_left == 0 {
        return Err(refused(refusal(Refusal::Used)));
    }
    control.audit.room()?;
    // A stranger hears of the token only.
    let facts = checked(enrol.facts)?;
    let identity = AgentIdentity {
        tenant_id: known.tenant_id,
        site_id: known.site_id,
        agent_id: AgentId::from_uuid(uuid::Uuid::now_v7()),
    };
    let issued = control
        .authority
        .sign_agent(&enrol.csr_pem, &identity, control.limits.certificate_lifetime, now_ms)
        .map_err(|error| RpcError::new(RpcErrorKind::Invalid, error.to_string()))?;
    let enrolment = Enrolment {
        token_id: token.token_id,
        agent_id: identity.agent_id,
        facts,
        serial: issued.serial,
        expires_at_ms: issued.expires_at_ms,
    };
    match control.store.enrol(&enrolment, now_ms).await.map_err(|error| store_failed(&error))? {
        store::Enrolled::Refused(why) => return Err(refused(refusal(why))),
        store::Enrolled::Done => {}
    }
    span_is_of(&identity);
    let (token_id, hostname) = (&enrolment.token_id, &enrolment.facts.hostname);
    control.audit.enrolled(&identity, token_id, hostname, remote.to_string()).await;
    let AgentIdentity { tenant_id, site_id, agent_id } = identity;
    control.roster.enrolled(agent_id, tenant_id.clone(), site_id.clone(), issued.expires_at_ms);
    control.metrics.certificates_issued.inc();
    tracing::info!(%agent_id, %tenant_id, %site_id, hostname = enrolment.facts.hostname, "agent enrolled");
    Ok(Enrolled {
        tenant_id,
        site_id,
        agent_id,
        certificate: NewCertificate {
            certificate_pem: issued.certificate_pem,
            ca_pem: control.authority.certificate_pem().to_owned(),
            expires_at_ms: issued.expires_at_ms,
        },
    })
}

fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::Unknown => "the token is not known here: it was deleted, or never made; make another",
        Refusal::Used => "the token has been used; make another with control-plane token create",
        Refusal::Expired => "the token has expired; make another with control-plane token create",
    }
}

/// Facts within their bounds.
pub(super) fn checked(facts: Facts) -> Result<store::Facts, RpcError> {
    let invalid = |sentence: String| Err(RpcError::new(RpcErrorKind::Invalid, sentence));
    let Facts { hostname, version, labels } = facts;
    if labels.len() > LABELS_MAX {
        return invalid(format!("facts.labels: at most {LABELS_MAX} labels"));
    }
    let texts = [("hostname", &hostname), ("version", &version)].into_iter();
    let labels_texts = labels.iter().flat_map(|(key, value)| [("labels", key), ("labels", value)]);
    for (field, text) in texts.chain(labels_texts) {
        if text.len() > FACT_MAX_BYTES {
            return invalid(format!("facts.{field}: longer than {FACT_MAX_BYTES} bytes"));
        }
    }
    Ok(store::Facts { hostname, version, labels })
}

/// Why there is no new certificate.
#[derive(Debug)]
pub(crate) enum NotRenewed {
    /// The request is not one that is signed; a sentence.
    Request(String),
    /// The agent is no longer enrolled.
    Unenrolled,
    Store(StoreError),
}

/// A new certificate for an agent that has shown its own. The old one stays good until it expires.
pub(crate) async fn renew(
    control: &Control,
    peer: &Peer,
    csr_pem: &str,
) -> Result<NewCertificate, NotRenewed> {
    let now_ms = nkudo_host::clock::wall_ms();
    let issued = control
        .authority
        .sign_agent(csr_pem, &peer.identity, control.limits.certificate_lifetime, now_ms)
        .map_err(|error| NotRenewed::Request(error.to_string()))?;
    let record = CertificateRecord {
        serial: issued.serial,
        agent_id: peer.identity.agent_id,
        tenant_id: peer.identity.tenant_id.clone(),
        issued_at_ms: now_ms,
        expires_at_ms: issued.expires_at_ms,
        revoked_at_ms: None,
    };
    if !control.store.add_certificate(&record).await.map_err(NotRenewed::Store)? {
        return Err(NotRenewed::Unenrolled);
    }
    control.roster.certificate_renewed(peer.identity.agent_id, issued.expires_at_ms);
    control.metrics.certificates_issued.inc();
    tracing::info!(agent_id = %peer.identity.agent_id, serial = record.serial, "certificate renewed");
    control.audit.renewed(&peer.identity, &record.serial).await;
    Ok(NewCertificate {
        certificate_pem: issued.certificate_pem,
        ca_pem: control.authority.certificate_pem().to_owned(),
        expires_at_ms: issued.expires_at_ms,
    })
}
