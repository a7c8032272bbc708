//! The nouns of a fleet: who is in it, and who may steer it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{InvalidId, text_id};
use crate::vm::{InvalidSpec, closed_set};

/// Longest name of a tenant or a site, in bytes.
const NAME_MAX_BYTES: usize = 64;

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && text.as_bytes()[0].is_ascii_alphanumeric()
}

text_id!(
    /// Names a tenant: at most 64 letters, digits, `.`, `_`, `-`, a letter or digit first. The name is the id.
    TenantId,
    InvalidId::Name,
    is_name
);

text_id!(
    /// Names a site of a tenant, by the same rule.
    SiteId,
    InvalidId::Name,
    is_name
);

/// The tenant or site where nobody named one.
pub const DEFAULT_NAME: &str = "default";

impl Default for TenantId {
    fn default() -> Self {
        Self(DEFAULT_NAME.to_owned())
    }
}

impl Default for SiteId {
    fn default() -> Self {
        Self(DEFAULT_NAME.to_owned())
    }
}

/// Names an enrolled agent: a UUID that the control plane made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AgentId(uuid::Uuid);

impl AgentId {
    /// The identifier with the given UUID.
    pub const fn from_uuid(uuid: uuid::Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for AgentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        uuid::Uuid::try_parse(text).map(Self).map_err(|_| InvalidId::Uuid(text.chars().take(64).collect()))
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

closed_set!(
    /// What the bearer of an API key may do; each role may what those before it may.
    Role, "a role" {
        /// Reads.
        Viewer = "viewer",
        /// Asks for actions, cancels them, enrols and unenrols agents.
        Operator = "operator",
        /// Makes and removes keys.
        Admin = "admin",
    }
);

closed_set!(
    /// Whether an agent is heard of.
    Presence, "a presence" {
        Online = "online",
        /// It has missed heartbeats, and not enough of them to be given up.
        Suspect = "suspect",
        Offline = "offline",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_roles_hold_their_rules() {
        for (text, valid) in [
            ("default", true),
            ("site-1.eu", true),
            ("", false),
            (".x", false),
            ("-x", false),
            ("a/b", false),
        ] {
            assert_eq!(text.parse::<TenantId>().is_ok(), valid, "{text:?}");
        }
        assert_eq!(TenantId::default().as_str(), "default");
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
    }
}
