//! The link to the control plane: dials, heartbeats, takes actions, tells results.
//!
//! It performs what `nkudo_fleet` decides. Losing the control plane is no fault of the agent: the link dials again, and
//! what happened meanwhile is told then, in its order.

mod deliveries;
mod failures;
mod logs;
mod reports;
mod results;
mod session;
mod standing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nkudo_catalogue::AgentMetrics;
use nkudo_executor::{Handle, NoAnswer};
use nkudo_fleet::outage::Failure;
use nkudo_fleet::{Backoff, renew_at_ms};
use nkudo_host::clock;
use nkudo_logbook::LogBook;
use nkudo_recorder::Recorder;
use nkudo_supervision::{Context, Health, Supervisor};

use crate::audit::{Actor, Audit};
use crate::identity::{self, Identity, IdentityDir, StoredError};
use crate::outages::Outages;
use session::{Ended, Session};

pub(crate) use standing::Standing;

/// How often it is looked whether the identity has changed: enrolment and renewal are picked up within this.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The longest first wait before dialling again.
const DIAL_AGAIN_BASE_MS: u64 = 500;
/// The longest wait before dialling again.
const DIAL_AGAIN_CAP_MS: u64 = 30_000;
/// A certificate that was refused is refused the next moment too: the shortest wait before it is shown again. A new one is
/// taken up sooner.
const SHOW_AGAIN_MIN_MS: u64 = 5_000;
/// How soon a renewal is tried again, at the least and at the most.
const RENEW_AGAIN_MIN: Duration = Duration::from_secs(1);
const RENEW_AGAIN_MAX: Duration = Duration::from_secs(3600);

/// The link of an agent.
pub(crate) struct Link {
    pub(crate) state_dir: PathBuf,
    pub(crate) executor: Handle,
    pub(crate) supervisor: Supervisor,
    pub(crate) metrics: AgentMetrics,
    pub(crate) standing: Arc<Standing>,
    pub(crate) outages: Arc<Outages>,
    /// None where nothing is recorded.
    pub(crate) recorder: Option<Recorder>,
    /// None where no log files are written.
    pub(crate) logs: Option<LogBook>,
    pub(crate) audit: Audit,
}

impl Link {
    /// Keeps the link open until shutdown, and says goodbye then.
    pub(crate) async fn run(&self, context: &Context) {
        let linked = Box::pin(self.keep_linked(context));
        let renewed = self.keep_renewed();
        // Both go on until shutdown; the link says goodbye before it returns.
        tokio::select! {
            () = linked => {}
            never = renewed => match never {},
        }
    }

    async fn keep_linked(&self, context: &Context) {
        let dir = IdentityDir::of(&self.state_dir);
        let mut backoff = Backoff::new(DIAL_AGAIN_BASE_MS, DIAL_AGAIN_CAP_MS);
        // After an outage the first heartbeat of a fleet is spread; a single start need not wait.
        let mut outage = false;
        // The executor does not know whom results are owed to until it was told once.
        let mut reporting = true;
        while !context.shutdown.is_cancelled() {
            let identity = match self.identity(&dir) {
                Ok(Some(identity)) => identity,
                Ok(None) => {
                    self.outages.enrolled(None);
                    context.health.set(Health::Healthy);
                    // Nobody is left to be told: results are forgotten in their time again.
                    if reporting && self.executor.report_as(None).await.is_ok() {
                        reporting = false;
                    }
                    wait(context, LOOK_INTERVAL).await;
                    continue;
                }
                Err(error) => {
                    self.outages.failed(Failure::Credentials, &told(&error));
                    context.health.set(Health::Degraded(told(&error)));
                    wait(context, LOOK_INTERVAL).await;
                    continue;
                }
            };
            self.outages.enrolled(Some(identity.agent_id));
            reporting = self.executor.report_as(Some(identity.agent_id)).await.is_ok();
            if !reporting {
                self.outages.failed(Failure::Part, &NoAnswer.to_string());
                wait(context, LOOK_INTERVAL).await;
                continue;
            }
            let session = Session::new(self, &identity, &dir, context, outage);
            let wait_ms = match Box::pin(session.run()).await {
                Ended::Shutdown => return,
                Ended::OtherIdentity => {
                    backoff.succeeded();
                    0
                }
                Ended::AskedToWait(asked) => {
                    outage = true;
                    self.outages.failed(Failure::AskedToWait, &failures::asked_to_wait(asked));
                    backoff.succeeded();
                    let asked_ms = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
                    backoff.asked_to_wait(asked_ms, random())
                }
                Ended::Failed { error, failure, refused, lived } => {
                    outage = true;
                    self.outages.failed(failure, &error);
                    if lived {
                        backoff.succeeded();
                    }
                    tracing::warn!(reason = error, "no link to the control plane");
                    if refused && !self.standing.is_refused() {
                        self.audit.certificate_refused(&error).await;
                    }
                    self.standing.failed(error.clone(), refused);
                    context.health.error("link");
                    context.health.set(Health::Degraded(error));
                    let wait_ms = backoff.failed(random());
                    if refused { wait_ms.max(SHOW_AGAIN_MIN_MS) } else { wait_ms }
                }
            };
            self.wait_for_change(context, &dir, identity.generation(), wait_ms).await;
        }
    }

    fn identity(&self, dir: &IdentityDir) -> Result<Option<Identity>, StoredError> {
        let identity = dir.load();
        let enrolled = identity.as_ref().ok().and_then(Option::as_ref);
        self.metrics.certificate_expiry(enrolled.map(|identity| identity.certificate.not_after_ms / 1_000));
        self.standing.enrolled(enrolled);
        identity
    }

    /// Waits so long, and shorter when the identity changes or the end is asked for.
    async fn wait_for_change(&self, context: &Context, dir: &IdentityDir, generation: &Path, wait_ms: u64) {
        let mut left = Duration::from_millis(wait_ms);
        while !left.is_zero() && !context.shutdown.is_cancelled() {
            if dir.generation().as_deref() != Some(generation) {
                return;
            }
            let step = left.min(LOOK_INTERVAL);
            wait(context, step).await;
            left = left.saturating_sub(step);
        }
    }

    /// Renews the certificate when two thirds of its life are over. What is written is picked up by the session.
    async fn keep_renewed(&self) -> std::convert::Infallible {
        let dir = IdentityDir::of(&self.state_dir);
        let mut due: Option<Due> = None;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let Some(generation) = dir.generation() else { continue };
            if due.as_ref().is_none_or(|due| due.generation != generation) {
                due = dir.load().ok().flatten().map(|identity| Due::of(&identity));
            }
            let Some(due) = due.as_ref().filter(|due| clock::wall_ms() >= due.at_ms) else { continue };
            match Box::pin(identity::renew(&self.state_dir, Actor::Daemon)).await {
                Ok(identity) => {
                    tracing::info!(serial = identity.certificate.serial, "certificate renewed");
                }
                Err(error) => tracing::warn!(reason = told(&error), "certificate not renewed; trying again"),
            }
            // A clock that is far off would find every new certificate due.
            tokio::time::sleep(renew_again(due.life_ms)).await;
        }
    }
}

/// When a certificate is to be renewed; drawn once for each.
struct Due {
    generation: PathBuf,
    at_ms: i64,
    life_ms: i64,
}

impl Due {
    fn of(identity: &Identity) -> Self {
        let facts = &identity.certificate;
        Self {
            generation: identity.generation().to_owned(),
            at_ms: renew_at_ms(facts.not_before_ms, facts.not_after_ms, random()),
            life_ms: facts.not_after_ms.saturating_sub(facts.not_before_ms),
        }
    }
}

/// How soon a renewal is tried again, whether it failed or not: a hundredth of a certificate's life, within bounds.
fn renew_again(life_ms: i64) -> Duration {
    let hundredth = Duration::from_millis((life_ms / 100).max(0).unsigned_abs());
    hundredth.clamp(RENEW_AGAIN_MIN, RENEW_AGAIN_MAX)
}

async fn wait(context: &Context, duration: Duration) {
    tokio::select! {
        () = context.shutdown.cancelled() => {}
        () = tokio::time::sleep(duration) => {}
    }
}

/// An error with its causes, in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let sentence = cause.to_string();
        if !text.contains(&sentence) {
            text = format!("{text}: {sentence}");
        }
        source = cause.source();
    }
    text
}

/// A number drawn evenly.
fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the kernel's random numbers are always there on Linux");
    u64::from_ne_bytes(bytes)
}
