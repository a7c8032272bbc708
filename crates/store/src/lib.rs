//! What the control plane keeps, behind one trait.
//!
//! The principal type is [`Store`]. It speaks of deeds (`enrol`, `record_results`), not of tables: each method is one
//! transaction, so that nobody outside can leave the books half written. [`SqliteStore`] keeps them in a file, or in
//! memory for tests (`sqlite::memory:`). The SQL is written for PostgreSQL too.
//!
//! **Invariant:** what belongs to a tenant is asked for with its [`TenantId`](nkudo_domain::TenantId); there is no method that reads across
//! tenants for a user. The few that do serve the control plane itself and say so.
//! **Invariant:** an action that has ended does not change again.
//! **Invariant:** a result is recorded once, whatever arrives twice; what an agent was told is recorded is on disk.
//! **Invariant:** no secret is kept: of tokens and keys there is a SHA-256 digest only.

mod error;
mod page;
mod records;
mod sqlite;
mod store;

pub use error::StoreError;
pub use page::{Listed, Page};
pub use records::{
    ActionFilter, ActionRecord, AgentFilter, AgentRecord, AgentStanding, Asked, Cancelled, CertificateRecord,
    Counts, Enrolled, Enrolment, ExecutionFilter, ExecutionRecord, Facts, Forgotten, KeyRecord, OUTAGES_MAX,
    Origin, OutageFilter, Recorded, Refusal, Reported, ResultBatch, SiteDeleted, SiteRecord, TokenRecord,
    VmFilter, VmRecord,
};
pub use sqlite::{SqliteStore, StoreObserver};
pub use store::Store;
