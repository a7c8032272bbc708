//! What can be repeated does not fill the log.

use nkudo_audit::Hash;
use nkudo_domain::SiteId;

use super::*;
use crate::world::{audit_in, lines_of};

#[tokio::test]
async fn the_log_of_an_agent_that_goes_back_all_the_time_has_a_line_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let audit = audit_in(dir.path(), 1 << 20);
    let agents = [1, 2].map(|number| AgentId::from_uuid(uuid::Uuid::from_u128(number)));
    for seq in 2..6 {
        for agent_id in agents {
            let identity =
                AgentIdentity { tenant_id: TenantId::default(), site_id: SiteId::default(), agent_id };
            let [kept, told] = [seq, 1].map(|seq| Head { seq, hash: Hash::from_bytes([7; 32]) });
            audit.agent_log_went_back(&identity, kept, told).await;
        }
    }
    let actors: Vec<_> =
        lines_of(dir.path(), "agent.audit_head").iter().map(|line| line["actor"].to_string()).collect();
    assert_eq!(actors, agents.map(|agent_id| format!("\"{agent_id}\"")));
}
