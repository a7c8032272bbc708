//! Agents and their certificates.

use nkudo_audit::Head;
use nkudo_domain::{AgentId, TenantId};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, SqliteConnection, query};

use super::cursor::{after, cut, fetch};
use super::fault::Fault;
use super::row::{json, labels_json, maybe_parsed, parsed};
use super::{actions, tokens};
use crate::page::{Listed, Page};
use crate::records::{
    ActionRecord, AgentFilter, AgentRecord, AgentStanding, CertificateRecord, Enrolled, Enrolment, Facts,
};

/// The name of the note that says when last-seen times were written down.
const SEEN_FLUSHED: &str = "seen_flushed_at_ms";
/// Agents with the expiry of the certificate that lasts longest.
const AGENTS: &str = "SELECT a.*, COALESCE((SELECT MAX(c.expires_at_ms) FROM certificates c
    WHERE c.agent_id = a.agent_id AND c.revoked_at_ms IS NULL), 0) AS certificate_expires_at_ms FROM agents a ";

fn record(row: &SqliteRow) -> Result<AgentRecord, Fault> {
    Ok(AgentRecord {
        agent_id: parsed(row, "agent_id")?,
        tenant_id: parsed(row, "tenant_id")?,
        site_id: parsed(row, "site_id")?,
        facts: Facts {
            hostname: row.try_get("hostname")?,
            version: row.try_get("version")?,
            labels: json(row, "labels")?,
        },
        enrolled_at_ms: row.try_get("enrolled_at_ms")?,
        last_seen_ms: row.try_get("last_seen_ms")?,
        goodbye: row.try_get("goodbye")?,
        certificate_expires_at_ms: row.try_get("certificate_expires_at_ms")?,
        unenrolled_at_ms: row.try_get("unenrolled_at_ms")?,
    })
}

pub(super) async fn enrol(
    connection: &mut SqliteConnection,
    enrolment: &Enrolment,
    now_ms: i64,
) -> Result<Enrolled, Fault> {
    let token = match tokens::take_use(&mut *connection, &enrolment.token_id, now_ms).await? {
        Ok(token) => token,
        Err(refusal) => return Ok(Enrolled::Refused(refusal)),
    };
    let Facts { hostname, version, labels } = &enrolment.facts;
    query(
        "INSERT INTO agents (agent_id, tenant_id, site_id, hostname, version, labels, enrolled_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(enrolment.agent_id.to_string())
    .bind(token.tenant_id.as_str())
    .bind(token.site_id.as_str())
    .bind(hostname)
    .bind(version)
    .bind(labels_json(labels)?)
    .bind(now_ms)
    .execute(&mut *connection)
    .await?;
    let certificate = CertificateRecord {
        serial: enrolment.serial.clone(),
        agent_id: enrolment.agent_id,
        tenant_id: token.tenant_id,
        issued_at_ms: now_ms,
        expires_at_ms: enrolment.expires_at_ms,
        revoked_at_ms: None,
    };
    add_certificate(connection, &certificate).await?;
    Ok(Enrolled::Done)
}

pub(super) async fn add_certificate(
    connection: &mut SqliteConnection,
    certificate: &CertificateRecord,
) -> Result<bool, Fault> {
    let added = query(
        "INSERT INTO certificates (serial, agent_id, tenant_id, issued_at_ms, expires_at_ms, revoked_at_ms)
         SELECT $1, agent_id, tenant_id, $2, $3, $4 FROM agents
         WHERE agent_id = $5 AND tenant_id = $6 AND unenrolled_at_ms IS NULL",
    )
    .bind(&certificate.serial)
    .bind(certificate.issued_at_ms)
    .bind(certificate.expires_at_ms)
    .bind(certificate.revoked_at_ms)
    .bind(certificate.agent_id.to_string())
    .bind(certificate.tenant_id.as_str())
    .execute(&mut *connection)
    .await?;
    if added.rows_affected() == 0 {
        return Ok(false);
    }
    query(
        "UPDATE certificates SET superseded = TRUE WHERE agent_id = $1 AND serial <> $2 AND NOT superseded",
    )
    .bind(certificate.agent_id.to_string())
    .bind(&certificate.serial)
    .execute(connection)
    .await?;
    Ok(true)
}

pub(super) async fn certificate(
    connection: &mut SqliteConnection,
    serial: &str,
) -> Result<Option<CertificateRecord>, Fault> {
    let row = query("SELECT * FROM certificates WHERE serial = $1").bind(serial).fetch_optional(connection);
    let Some(row) = row.await? else { return Ok(None) };
    Ok(Some(CertificateRecord {
        serial: row.try_get("serial")?,
        agent_id: parsed(&row, "agent_id")?,
        tenant_id: parsed(&row, "tenant_id")?,
        issued_at_ms: row.try_get("issued_at_ms")?,
        expires_at_ms: row.try_get("expires_at_ms")?,
        revoked_at_ms: row.try_get("revoked_at_ms")?,
    }))
}

pub(super) async fn unenrol(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    agent_id: AgentId,
    now_ms: i64,
) -> Result<Option<Vec<ActionRecord>>, Fault> {
    let id = agent_id.to_string();
    let unenrolled = query(
        "UPDATE agents SET unenrolled_at_ms = $1
         WHERE tenant_id = $2 AND agent_id = $3 AND unenrolled_at_ms IS NULL",
    )
    .bind(now_ms)
    .bind(tenant_id.as_str())
    .bind(&id)
    .execute(&mut *connection)
    .await?;
    if unenrolled.rows_affected() == 0 {
        return Ok(None);
    }
    query("UPDATE certificates SET revoked_at_ms = $1 WHERE agent_id = $2 AND revoked_at_ms IS NULL")
        .bind(now_ms)
        .bind(&id)
        .execute(&mut *connection)
        .await?;
    query("DELETE FROM vms WHERE agent_id = $1").bind(&id).execute(&mut *connection).await?;
    actions::end_all(connection, agent_id, now_ms).await.map(Some)
}

pub(super) async fn one(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    agent_id: AgentId,
) -> Result<Option<AgentRecord>, Fault> {
    let mut find: QueryBuilder<sqlx::Sqlite> = QueryBuilder::new(AGENTS);
    find.push("WHERE a.tenant_id = ").push_bind(tenant_id.as_str());
    find.push(" AND a.agent_id = ").push_bind(agent_id.to_string());
    let row = find.build().fetch_optional(connection).await?;
    row.as_ref().map(record).transpose()
}

pub(super) async fn list(
    connection: &mut SqliteConnection,
    tenant_id: &TenantId,
    filter: &AgentFilter,
    page: &Page,
) -> Result<Listed<AgentRecord>, Fault> {
    let mut find: QueryBuilder<sqlx::Sqlite> = QueryBuilder::new(AGENTS);
    find.push("WHERE a.unenrolled_at_ms IS NULL AND a.tenant_id = ").push_bind(tenant_id.as_str());
    find.push(" AND a.agent_id > ").push_bind(after(page)?);
    if let Some(site_id) = &filter.site_id {
        find.push(" AND a.site_id = ").push_bind(site_id.as_str());
    }
    find.push(" ORDER BY a.agent_id LIMIT ").push_bind(fetch(page));
    let rows = find.build().fetch_all(connection).await?;
    let agents: Vec<AgentRecord> = rows.iter().map(record).collect::<Result<_, Fault>>()?;
    Ok(cut(agents, page, |agent| agent.agent_id.to_string()))
}

pub(super) async fn standings(connection: &mut SqliteConnection) -> Result<Vec<AgentStanding>, Fault> {
    let mut find: QueryBuilder<sqlx::Sqlite> = QueryBuilder::new(AGENTS);
    find.push("WHERE a.unenrolled_at_ms IS NULL");
    let rows = find.build().fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(AgentStanding {
                agent_id: parsed(row, "agent_id")?,
                tenant_id: parsed(row, "tenant_id")?,
                site_id: parsed(row, "site_id")?,
                last_seen_ms: row.try_get("last_seen_ms")?,
                goodbye: row.try_get("goodbye")?,
                certificate_expires_at_ms: row.try_get("certificate_expires_at_ms")?,
                audit_head: maybe_parsed(row, "audit_head")?,
            })
        })
        .collect()
}

pub(super) async fn record_facts(
    connection: &mut SqliteConnection,
    agent_id: AgentId,
    facts: &Facts,
    now_ms: i64,
) -> Result<(), Fault> {
    query(
        "UPDATE agents SET hostname = $1, version = $2, labels = $3, last_seen_ms = $4, goodbye = NULL
         WHERE agent_id = $5",
    )
    .bind(&facts.hostname)
    .bind(&facts.version)
    .bind(labels_json(&facts.labels)?)
    .bind(now_ms)
    .bind(agent_id.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn record_seen(
    connection: &mut SqliteConnection,
    seen: &[(AgentId, i64)],
    now_ms: i64,
) -> Result<(), Fault> {
    for (agent_id, seen_ms) in seen {
        query("UPDATE agents SET last_seen_ms = $1 WHERE agent_id = $2")
            .bind(seen_ms)
            .bind(agent_id.to_string())
            .execute(&mut *connection)
            .await?;
    }
    query("INSERT INTO notes (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2")
        .bind(SEEN_FLUSHED)
        .bind(now_ms)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn seen_flushed_at(connection: &mut SqliteConnection) -> Result<Option<i64>, Fault> {
    let row = query("SELECT value FROM notes WHERE name = $1")
        .bind(SEEN_FLUSHED)
        .fetch_optional(connection)
        .await?;
    Ok(row.map(|row| row.try_get("value")).transpose()?)
}

pub(super) async fn record_audit_heads(
    connection: &mut SqliteConnection,
    heads: &[(AgentId, Head)],
) -> Result<(), Fault> {
    for (agent_id, head) in heads {
        query("UPDATE agents SET audit_head = $1 WHERE agent_id = $2")
            .bind(head.to_string())
            .bind(agent_id.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) async fn record_goodbye(
    connection: &mut SqliteConnection,
    agent_id: AgentId,
    reason: &str,
    now_ms: i64,
) -> Result<(), Fault> {
    query("UPDATE agents SET goodbye = $1, last_seen_ms = $2 WHERE agent_id = $3")
        .bind(reason)
        .bind(now_ms)
        .bind(agent_id.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
