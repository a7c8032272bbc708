//! What only the control plane shows: agents, sites, keys, enrolment tokens.

use std::collections::BTreeMap;

use nkudo_domain::{AgentId, Presence, Role, SiteId, TenantId};
use serde::{Deserialize, Serialize};

use crate::time::WallTime;

/// An enrolled agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentView {
    pub agent_id: AgentId,
    pub tenant_id: TenantId,
    pub site_id: SiteId,
    pub hostname: String,
    pub presence: Presence,
    /// When it was last heard of; null before the first time.
    pub last_seen: Option<WallTime>,
    pub certificate_expires_at: WallTime,
    pub version: String,
    pub labels: BTreeMap<String, String>,
    pub enrolled_at: WallTime,
    /// Why it said goodbye, when that was the last that was heard of it.
    pub goodbye: Option<String>,
    /// Its clock minus the control plane's; null until it was measured.
    pub clock_skew_ms: Option<i64>,
    /// Its own verdict: healthy, degraded or unhealthy; null until it said.
    pub health: Option<String>,
    /// The newest line of its audit log that was seen, `SEQ:HASH`; null until it said.
    pub audit_head: Option<String>,
}

/// A site of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteView {
    pub site_id: SiteId,
    pub created_at: WallTime,
}

/// The caller's tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantView {
    pub tenant_id: TenantId,
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyView {
    pub key_id: String,
    pub role: Role,
    pub created_at: WallTime,
}

/// A new API key: the only time that its secret is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCreated {
    pub key_id: String,
    pub key: String,
    pub role: Role,
}

impl std::fmt::Debug for KeyCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyCreated").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// An enrolment token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    pub token_id: String,
    pub site_id: SiteId,
    pub uses: u32,
    pub uses_left: u32,
    pub created_at: WallTime,
    pub expires_at: WallTime,
}

/// A new enrolment token: the only time that its secret is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreated {
    pub token_id: String,
    pub token: String,
    pub expires_at: WallTime,
}

impl std::fmt::Debug for TokenCreated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCreated").field("token_id", &self.token_id).finish_non_exhaustive()
    }
}

/// A renewed certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewedView {
    pub certificate_pem: String,
    pub ca_pem: String,
    pub expires_at: WallTime,
}

/// The answer to `POST /v1/unenroll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnenrolledView {
    pub agent_id: AgentId,
}
