//! MicroVMs as their agents reported them.

use nkudo_domain::{AgentId, TenantId, VmId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, SqliteConnection, query};

use super::cursor::{after, cut, fetch};
use super::fault::Fault;
use super::row::{json, labels_json, maybe_number, number, parsed, signed};
use crate::page::{Listed, Page};
use crate::records::{VmFilter, VmRecord};

/// Separates the two keys of a cursor; neither has it.
const SEPARATOR: char = '/';

fn record(row: &SqliteRow) -> Result<VmRecord, Fault> {
    Ok(VmRecord {
        vm_id: parsed(row, "vm_id")?,
        agent_id: parsed(row, "agent_id")?,
        vm_name: parsed(row, "vm_name")?,
        state: parsed(row, "state")?,
        reason: row.try_get("reason")?,
        vcpus: number(row, "vcpus")?,
        memory_bytes: number(row, "memory_bytes")?,
        provider: parsed(row, "provider")?,
        pid: maybe_number(row, "pid")?,
        since_ms: row.try_get("since_ms")?,
        restarts: number(row, "restarts")?,
        labels: json(row, "labels")?,
    })
}

pub(super) async fn replace(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    agent_id: AgentId,
    vms: &[VmRecord],
) -> Result<(), Fault> {
    query("DELETE FROM vms WHERE tenant_id = $1 AND agent_id = $2")
        .bind(tenant_id.as_str())
        .bind(agent_id.to_string())
        .execute(&mut *connection)
        .await?;
    change(connection, tenant_id, agent_id, vms, &[]).await
}

pub(super) async fn change(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    agent_id: AgentId,
    changed: &[VmRecord],
    gone: &[VmId],
) -> Result<(), Fault> {
    for vm in changed {
        query(
            "INSERT INTO vms (tenant_id, agent_id, vm_id, vm_name, state, reason, vcpus, memory_bytes, provider, pid,
                 since_ms, restarts, labels)
             SELECT tenant_id, agent_id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM agents
             WHERE tenant_id = $1 AND agent_id = $2 AND unenrolled_at_ms IS NULL
             ON CONFLICT (agent_id, vm_id) DO UPDATE SET vm_name = $4, state = $5, reason = $6, vcpus = $7,
                 memory_bytes = $8, provider = $9, pid = $10, since_ms = $11, restarts = $12, labels = $13",
        )
        .bind(tenant_id.as_str())
        .bind(agent_id.to_string())
        .bind(vm.vm_id.to_string())
        .bind(vm.vm_name.as_str())
        .bind(vm.state.as_str())
        .bind(&vm.reason)
        .bind(i64::from(vm.vcpus))
        .bind(signed(vm.memory_bytes))
        .bind(vm.provider.as_str())
        .bind(vm.pid.map(i64::from))
        .bind(vm.since_ms)
        .bind(signed(vm.restarts))
        .bind(labels_json(&vm.labels)?)
        .execute(&mut *connection)
        .await?;
    }
    for vm_id in gone {
        query("DELETE FROM vms WHERE tenant_id = $1 AND agent_id = $2 AND vm_id = $3")
            .bind(tenant_id.as_str())
            .bind(agent_id.to_string())
            .bind(vm_id.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    filter: &VmFilter,
    page: &Page,
) -> Result<Listed<VmRecord>, Fault> {
    let start = after(page)?;
    let (vm_id, agent_id) = match start.split_once(SEPARATOR) {
        Some(keys) => keys,
        None if start.is_empty() => ("", ""),
        None => return Err(crate::error::StoreError::Cursor.into()),
    };
    let mut find: QueryBuilder<sqlx::Sqlite> = QueryBuilder::new("SELECT * FROM vms WHERE tenant_id = ");
    find.push_bind(tenant_id.as_str());
    find.push(" AND (vm_id, agent_id) > (").push_bind(vm_id).push(", ").push_bind(agent_id).push(")");
    if let Some(agent_id) = filter.agent_id {
        find.push(" AND agent_id = ").push_bind(agent_id.to_string());
    }
    if let Some(state) = filter.state {
        find.push(" AND state = ").push_bind(state.as_str());
    }
    if let Some(vm_id) = filter.vm_id {
        find.push(" AND vm_id = ").push_bind(vm_id.to_string());
    }
    find.push(" ORDER BY vm_id, agent_id LIMIT ").push_bind(fetch(page));
    let rows = find.build().fetch_all(connection).await?;
    let vms: Vec<VmRecord> = rows.iter().map(record).collect::<Result<_, Fault>>()?;
    Ok(cut(vms, page, |vm| format!("{}{SEPARATOR}{}", vm.vm_id, vm.agent_id)))
}
