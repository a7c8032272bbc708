//! Who asks: the bearer of an API key.

use std::fmt;

use axum::http::{HeaderMap, StatusCode, header};
use nkudo_domain::{Role, TenantId};
use nkudo_pki::{ApiKey, PkiError, digest, same};

use super::answer::Refused;
use crate::control::Control;
use crate::traces::TENANT;

/// Whoever has shown a key.
#[derive(Debug, Clone)]
pub(super) struct Principal {
    pub(super) tenant_id: TenantId,
    pub(super) role: Role,
    pub(super) key_id: String,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key_id, self.role.as_str())
    }
}

/// Somebody who is not let in.
#[derive(Debug)]
pub(super) struct Denied {
    pub(super) refused: Refused,
    /// Who it is, when their key is known.
    pub(super) principal: Option<Principal>,
}

impl From<Refused> for Denied {
    fn from(refused: Refused) -> Self {
        Self { refused, principal: None }
    }
}

/// The principal of a request.
pub(super) async fn authenticate(control: &Control, headers: &HeaderMap) -> Result<Principal, Refused> {
    let refused = |detail: &str| Refused::new(StatusCode::UNAUTHORIZED, detail);
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(refused(
            "an API key is required: send `Authorization: Bearer KEY`; the first one is in admin.token in the data \
             directory, others come from control-plane key create",
        ));
    };
    let key = value.to_str().ok().and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let key = key.ok_or_else(|| refused("the Authorization header is not of the form `Bearer KEY`"))?;
    let key: ApiKey = key.parse().map_err(|error: PkiError| refused(&error.to_string()))?;
    let known = control.store.key(&key.key_id).await?;
    let known = known.filter(|known| same(&known.secret_digest, &digest(&key.secret))).ok_or_else(|| {
        refused("the API key is not known here: it was deleted, or is of another control plane")
    })?;
    mark_span(&known.tenant_id);
    Ok(Principal { tenant_id: known.tenant_id, role: known.role, key_id: known.key_id })
}

/// The id of the key that a request shows, whether that is known here or not.
pub(super) fn shown_key_id(headers: &HeaderMap) -> Option<String> {
    let (_, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let key: ApiKey = key.trim().parse().ok()?;
    Some(key.key_id)
}

/// Says on the request's span whose it is: nobody else may see it.
pub(super) fn mark_span(tenant_id: &TenantId) {
    tracing::Span::current().record(TENANT, tracing::field::display(tenant_id));
}

impl Principal {
    /// It is known who asks, and this is not for them.
    pub(super) fn denied(self, refused: Refused) -> Denied {
        Denied { refused, principal: Some(self) }
    }

    /// Refuses who may not do what needs this role.
    pub(super) fn may(&self, role: Role) -> Result<(), Refused> {
        if self.role >= role {
            return Ok(());
        }
        let detail = format!("this needs the role {}; the key has {}", role.as_str(), self.role.as_str());
        Err(Refused::new(StatusCode::FORBIDDEN, detail))
    }
}
