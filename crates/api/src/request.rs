//! The bodies that only the control plane takes, besides actions.

use std::time::Duration;

use nkudo_domain::{AgentId, Role, SiteId};
use serde_json::Value;

use crate::fields::{Faults, Fields};
use crate::problem::FieldError;

/// How long an enrolment token is good when nobody says.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
/// The longest that one may be good, in seconds: 30 days.
pub const TOKEN_LIFETIME_SECONDS_MAX: u64 = 30 * 24 * 3600;
/// Most agents that one token lets in.
pub const TOKEN_USES_MAX: u32 = 100_000;

/// `POST /v1/enrollment-tokens`: every field may be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    pub site_id: SiteId,
    pub lifetime: Duration,
    pub uses: u32,
}

impl TokenRequest {
    /// # Errors
    /// Every fault of the body, by the path of its field.
    pub fn parse(body: &Value) -> Result<Self, Vec<FieldError>> {
        read(body, |fields, faults| {
            let site_id = fields.parsed("site_id", faults).unwrap_or_default();
            let seconds = fields.number("ttl_seconds", 1, TOKEN_LIFETIME_SECONDS_MAX, faults);
            let uses = fields.number("uses", 1, u64::from(TOKEN_USES_MAX), faults);
            Some(Self {
                site_id,
                lifetime: seconds.map_or(TOKEN_LIFETIME, Duration::from_secs),
                uses: uses.and_then(|uses| u32::try_from(uses).ok()).unwrap_or(1),
            })
        })
    }
}

/// `POST /v1/keys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRequest {
    pub role: Role,
}

impl KeyRequest {
    /// # Errors
    /// Every fault of the body, by the path of its field.
    pub fn parse(body: &Value) -> Result<Self, Vec<FieldError>> {
        read(body, |fields, faults| {
            let role = fields.parsed("role", faults);
            fields.require("role", role, faults).map(|role| Self { role })
        })
    }
}

/// `POST /v1/sites`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRequest {
    pub site_id: SiteId,
}

impl SiteRequest {
    /// # Errors
    /// Every fault of the body, by the path of its field.
    pub fn parse(body: &Value) -> Result<Self, Vec<FieldError>> {
        read(body, |fields, faults| {
            let site_id = fields.parsed("site_id", faults);
            fields.require("site_id", site_id, faults).map(|site_id| Self { site_id })
        })
    }
}

/// `POST /v1/renew`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewRequest {
    pub csr_pem: String,
}

impl RenewRequest {
    /// # Errors
    /// Every fault of the body, by the path of its field.
    pub fn parse(body: &Value) -> Result<Self, Vec<FieldError>> {
        read(body, |fields, faults| {
            let csr_pem = fields.text("csr_pem", faults).map(str::to_owned);
            fields.require("csr_pem", csr_pem, faults).map(|csr_pem| Self { csr_pem })
        })
    }
}

/// `POST /v1/unenroll`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnenrolRequest {
    pub agent_id: AgentId,
}

impl UnenrolRequest {
    /// # Errors
    /// Every fault of the body, by the path of its field.
    pub fn parse(body: &Value) -> Result<Self, Vec<FieldError>> {
        read(body, |fields, faults| {
            let agent_id = fields.parsed("agent_id", faults);
            fields.require("agent_id", agent_id, faults).map(|agent_id| Self { agent_id })
        })
    }
}

/// Reads an object; faults of known fields and unknown fields are told together.
fn read<T>(
    body: &Value,
    read: impl FnOnce(&mut Fields<'_>, &mut Faults) -> Option<T>,
) -> Result<T, Vec<FieldError>> {
    let mut faults = Faults::default();
    let mut fields = Fields::of(body, "", &mut faults);
    let request = read(&mut fields, &mut faults);
    fields.finish(&mut faults);
    request.filter(|_| faults.is_empty()).ok_or_else(|| faults.into_inner())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check<T: std::fmt::Debug>(parsed: Result<T, Vec<FieldError>>, path: &str, detail: &str) {
        let faults = parsed.expect_err(path);
        let told = faults.iter().any(|fault| fault.path == path && fault.detail.contains(detail));
        assert!(told, "wanted {path}: {detail}\nfound {faults:?}");
    }

    #[test]
    fn bodies_are_read_with_their_defaults() {
        let token = TokenRequest::parse(&json!({})).unwrap();
        let default = TokenRequest { site_id: SiteId::default(), lifetime: TOKEN_LIFETIME, uses: 1 };
        assert_eq!(token, default);
        let token = TokenRequest::parse(&json!({"site_id": "lab", "ttl_seconds": 5, "uses": 3})).unwrap();
        assert_eq!((token.site_id.as_str(), token.lifetime, token.uses), ("lab", Duration::from_secs(5), 3));
        assert_eq!(KeyRequest::parse(&json!({"role": "viewer"})), Ok(KeyRequest { role: Role::Viewer }));
    }

    #[test]
    fn each_fault_has_its_path() {
        check(TokenRequest::parse(&json!({"uses": 0})), "uses", "from 1 to");
        check(TokenRequest::parse(&json!({"ttl_seconds": "1h"})), "ttl_seconds", "not a string");
        check(TokenRequest::parse(&json!({"site_i": "x"})), "site_i", "did you mean `site_id`?");
        check(TokenRequest::parse(&json!([])), "", "must be an object");
        check(KeyRequest::parse(&json!({"role": "root"})), "role", "viewer, operator, admin");
        check(KeyRequest::parse(&json!({})), "role", "is required");
        check(SiteRequest::parse(&json!({"site_id": "a/b"})), "site_id", "1 to 64");
        check(RenewRequest::parse(&json!({"csr_pem": 3})), "csr_pem", "must be a string");
        check(UnenrolRequest::parse(&json!({"agent_id": "x"})), "agent_id", "is not a UUID");
    }
}
