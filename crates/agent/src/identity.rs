//! Who this host is to its control plane: key, certificate and names on disk, and how they are got, renewed and given
//! up.
//!
//! `STATE_DIR/identity/N/` holds one identity whole (`agent.key` for its owner only, `agent.pem`, `ca.pem`,
//! `identity.json`); the link `identity/current` names the one in force and is replaced in one step, so that whoever
//! reads has one identity and not halves of two.
//!
//! An identity says from where on the host's log is its tenant's: what was logged before the enrolment is told to nobody
//! over the link, whatever the clock said then.

mod calls;
mod stored;

pub use calls::{Enrolment, IdentityError, Unenrolled, Verified, enroll, renew, unenroll, verify_heartbeat};
pub(crate) use calls::{facts, open};
pub(crate) use stored::{FILES, NEXT};
pub use stored::{Identity, IdentityDir, StoredError};
