//! What has to be done from time to time: presence, last-seen times, expiry, gauges, readiness.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nkudo_domain::Presence;
use nkudo_store::{Forgotten, SqliteStore, Store, StoreError};
use nkudo_supervision::{Context, Health};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::control::Control;
use crate::roster::Now;

/// How often presence, expiry and readiness are looked at.
const TICK: Duration = Duration::from_secs(1);
/// Every so many ticks last-seen times are written down and the fleet is compared with the books.
const FLUSH_TICKS: u64 = 5;
/// Records of each kind that are removed in one transaction: whoever writes waits for it.
const FORGET_MAX: u32 = 100;
/// How long old records are removed at each tick.
const FORGET_TIME: Duration = Duration::from_millis(50);

/// Runs until it is told to end; writes down at its end what only memory knows.
pub(crate) async fn run(control: Arc<Control>, store: Arc<SqliteStore>, context: &Context) {
    // What went wrong last, as it was told.
    let mut failing: Option<String> = None;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0_u64.. {
        tokio::select! {
            () = context.shutdown.cancelled() => break,
            _ = ticks.tick() => {}
        }
        control.audit.tick().await;
        let done = look(&control, &store, tick % FLUSH_TICKS == 0).await;
        control.ready.store(done.is_ok(), Ordering::Release);
        match done {
            Ok(()) => {
                if failing.take().is_some() {
                    tracing::info!("the books can be kept again");
                }
                context.health.set(Health::Healthy);
            }
            Err(error) => {
                let told = error.to_string();
                // Once, and not with every look.
                if !matches!(error, StoreError::Locked) && failing.as_ref() != Some(&told) {
                    tracing::error!(error = &error as &dyn std::error::Error, "housekeeping failed");
                    failing = Some(told.clone());
                }
                context.health.set(Health::Degraded(told));
            }
        }
        context.health.progress();
    }
    if let Err(error) = flush(&control).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "last-seen times were not written down");
    }
}

async fn look(control: &Control, store: &SqliteStore, flush_now: bool) -> Result<(), StoreError> {
    // Who is there is to be seen, too, while nothing can be written.
    let pinged = store.ping().await;
    let now = Now::read();
    if flush_now {
        let known_before = control.roster.known();
        let standings = store.standings().await?;
        for (agent_id, site_id) in control.roster.reconcile(&known_before, standings) {
            control.metrics.forget_agent(agent_id, &site_id);
            tracing::info!(%agent_id, "agent is no longer in the books");
        }
    }
    let agents = control.roster.tick(now);
    let changed = agents.iter().filter(|agent| agent.has_changed);
    changed.for_each(|agent| control.holds_up_changed(agent.agent_id));
    let offline = agents.iter().filter(|agent| agent.presence == Presence::Offline).count() as u64;
    control.metrics.agents(agents.len() as u64 - offline, offline, now.wall_ms);
    if flush_now {
        for agent in &agents {
            let expires_at_ms = agent.certificate_expires_at_ms;
            control.metrics.certificate_expiry(agent.agent_id, &agent.site_id, expires_at_ms);
        }
        control.metrics.tasks_open(store.counts().await?.open_actions);
        flush(control).await?;
    }
    forget(control, now).await?;
    let (active, idle) = store.connections();
    control.metrics.connections(active, idle);
    control.ended(&store.expire(now.wall_ms).await?);
    pinged
}

/// Removes what is too old from the books, as much as the time allows.
async fn forget(control: &Control, now: Now) -> Result<(), StoreError> {
    let retention_ms = i64::try_from(control.limits.retention.as_millis()).unwrap_or(i64::MAX);
    let before_ms = now.wall_ms.saturating_sub(retention_ms);
    let began = Instant::now();
    while began.elapsed() < FORGET_TIME {
        let forgotten = control.store.forget(before_ms, now.wall_ms, FORGET_MAX).await?;
        count_forgotten(control, forgotten);
        if forgotten == Forgotten::default() {
            break;
        }
    }
    Ok(())
}

fn count_forgotten(control: &Control, forgotten: Forgotten) {
    let Forgotten { actions, executions, certificates, tokens, agents } = forgotten;
    for (what, count) in [
        ("actions", actions),
        ("executions", executions),
        ("certificates", certificates),
        ("enrolment_tokens", tokens),
        ("agents", agents),
    ] {
        control.metrics.forgotten(what, count);
    }
}

async fn flush(control: &Control) -> Result<(), StoreError> {
    let seen = control.roster.take_seen();
    let flushed = control.store.record_seen(&seen, nkudo_host::clock::wall_ms()).await;
    if flushed.is_err() {
        control.roster.seen_not_flushed(&seen);
    }
    flushed?;
    let heads = control.roster.take_heads();
    if heads.is_empty() {
        return Ok(());
    }
    let flushed = control.store.record_audit_heads(&heads).await;
    if flushed.is_err() {
        control.roster.heads_not_flushed(&heads);
    }
    flushed
}
