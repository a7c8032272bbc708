//! Who an agent is, as its certificate says.

use nkudo_domain::{AgentId, SiteId, TenantId};

use crate::error::PkiError;

const SCHEME: &str = "nkudo://";

/// An agent in its tenant and site. In a certificate: the agent's id as common name, and the alternative name
/// `nkudo://TENANT/SITE/AGENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentIdentity {
    pub tenant_id: TenantId,
    pub site_id: SiteId,
    pub agent_id: AgentId,
}

impl AgentIdentity {
    /// The alternative name.
    pub fn uri(&self) -> String {
        format!("{SCHEME}{}/{}/{}", self.tenant_id, self.site_id, self.agent_id)
    }

    /// The agent that an alternative name names.
    ///
    /// # Errors
    /// When it names none.
    pub fn from_uri(uri: &str) -> Result<Self, PkiError> {
        let wrong = |detail: String| PkiError::NoAgent { detail };
        let rest = uri.strip_prefix(SCHEME).ok_or_else(|| wrong(format!("{uri} is not one of ours")))?;
        let parts: Vec<&str> = rest.split('/').collect();
        let [tenant_id, site_id, agent_id] = parts.as_slice() else {
            return Err(wrong(format!("{uri} has not three parts")));
        };
        Ok(Self {
            tenant_id: tenant_id.parse().map_err(|_| wrong(format!("{uri} names no tenant")))?,
            site_id: site_id.parse().map_err(|_| wrong(format!("{uri} names no site")))?,
            agent_id: agent_id.parse().map_err(|_| wrong(format!("{uri} names no agent")))?,
        })
    }
}
