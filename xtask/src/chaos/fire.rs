//! The fire itself: who is killed and when, and an operator who goes on asking meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::chance::Chance;
use super::judge::Breach;
use crate::agent::{Host, poll, until};
use crate::fleet::{ControlPlane, request};

/// The longest time to the next kill.
const NEXT_KILL: Duration = Duration::from_millis(400);
/// The longest time until what was killed is started again.
const NEXT_START: Duration = Duration::from_millis(100);
/// How long everything asked for may take to end, kills and all.
const SETTLE: Duration = Duration::from_secs(120);

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    ControlPlane,
    Agent,
    Both,
}

impl Victim {
    fn has_control_plane(self) -> bool {
        self != Self::Agent
    }

    fn has_agent(self) -> bool {
        self != Self::ControlPlane
    }
}

/// Strikes so many times, at drawn moments, and starts again what was killed. Everything runs at the end. Answers how many
/// programs were killed, which are `kills_max` at most; it gives up early when `enough` says so.
pub fn kill(
    control: &mut ControlPlane,
    host: &mut Host,
    chance: &mut Chance,
    strikes: u32,
    kills_max: u64,
    enough: impl Fn() -> bool,
) -> Result<u64> {
    let mut killed = 0;
    for _ in 0..strikes {
        if killed >= kills_max || enough() {
            break;
        }
        pause(chance.shorter_than(NEXT_KILL));
        let victims = [Victim::ControlPlane, Victim::Agent, Victim::Both];
        let victim = chance.of(if kills_max - killed > 1 { &victims } else { &victims[..2] });
        if victim.has_control_plane() {
            control.kill_9()?;
            killed += 1;
        }
        if victim.has_agent() {
            host.kill_9()?;
            killed += 1;
        }
        pause(chance.shorter_than(NEXT_START));
        if victim.has_control_plane() {
            control.spawn()?;
        }
        if victim.has_agent() {
            host.spawn()?;
        }
        // Sometimes the next kill comes while they are still starting.
        if chance.below(3) > 0 {
            control.wait_ready()?;
            host.wait_ready()?;
        }
    }
    control.wait_ready()?;
    host.wait_ready()?;
    Ok(killed)
}

/// Waits, whatever happens meanwhile.
#[expect(
    clippy::disallowed_methods,
    reason = "the moment of a kill is drawn, and other programs are looked at"
)]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Somebody who asks one agent for actions over REST, whoever is killed meanwhile.
#[derive(Debug, Clone)]
pub struct Operator {
    address: String,
    path: String,
    key: String,
    pub state_dir: PathBuf,
    /// The others have failed: there is nothing left to wait for.
    given_up: Arc<AtomicBool>,
}

impl Operator {
    pub fn of(control: &ControlPlane, host: &Host, agent_id: &str) -> Result<Self> {
        Ok(Self {
            address: control.http_addr().to_owned(),
            path: format!("/v1/agents/{agent_id}/actions"),
            key: control.key()?,
            state_dir: host.state_dir(),
            given_up: Arc::default(),
        })
    }

    /// From here on every wait of this operator fails.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Asks for an action until somebody takes it in: while nobody is there, and again when the answer was lost.
    pub fn ask(&self, action: &Value) -> Result<()> {
        let taken = self.wait("the action to be taken in", || {
            let (status, body) = request(&self.address, "POST", &self.path, Some(&self.key), Some(action))?;
            (status != 429 && status != 503).then_some((status, body))
        })?;
        ensure!(taken.0 == 202, "{action} was answered {}: {}", taken.0, taken.1);
        Ok(())
    }

    /// Waits until each of these has ended.
    pub fn wait_ended<'a>(&self, action_ids: impl IntoIterator<Item = &'a str>) -> Result<()> {
        for action_id in action_ids {
            let mut last = String::new();
            let path = format!("/v1/actions/{action_id}");
            self.wait(&format!("the end of {action_id}"), || {
                let (status, body) = request(&self.address, "GET", &path, Some(&self.key), None)?;
                last.clone_from(&body);
                let action: Value = serde_json::from_str(&body).ok()?;
                (status == 200 && !is_open(&action)).then_some(())
            })
            .with_context(|| format!("it was last seen as {last}"))?;
        }
        Ok(())
    }

    /// Looks again and again until `look` finds something, as long as a whole round may take.
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
        let found = poll(what, SETTLE, Duration::from_millis(5), || {
            if self.has_given_up() { Some(None) } else { look().map(Some) }
        })?;
        found.with_context(|| format!("gave up waiting for {what}"))
    }
}

/// Whether the books show an action as one that has not ended.
pub fn is_open(action: &Value) -> bool {
    ["queued", "delivered", "running"].map(Value::from).contains(&action["status"])
}

/// Does `work` while `kills` goes on in this thread; neither waits for the other once one has failed.
pub fn under<T: Send, K>(
    operator: &Operator,
    work: impl FnOnce() -> Result<T> + Send,
    kills: impl FnOnce() -> Result<K>,
) -> Result<(T, K)> {
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let worked = work();
            if worked.is_err() {
                operator.give_up();
            }
            worked
        });
        let killed = kills();
        if killed.is_err() {
            operator.give_up();
        }
        let worked = working.join().expect("it fails without a panic");
        // Who failed first gave up for both: that is the one to be told.
        match (worked, killed) {
            (Ok(worked), Ok(killed)) => Ok((worked, killed)),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    })
}

/// Looks until nothing is found to be wrong, and answers what still is when patience ends: what programs make and remove all
/// the time is nobody's fault.
pub fn settled(patience: Duration, mut look: impl FnMut() -> Result<Vec<Breach>>) -> Result<Vec<Breach>> {
    let began = Instant::now();
    until("what passes to have passed", || match look() {
        Ok(breaches) if !breaches.is_empty() && began.elapsed() < patience => None,
        told => Some(told),
    })?
}
