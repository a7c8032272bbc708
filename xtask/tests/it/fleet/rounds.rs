//! A flow of actions while programs are killed, and what has to hold afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::agent::{Host, until};
use xtask::fleet::{ControlPlane, Programs, build, request};

/// How long a whole round may take to settle after the last kill.
const SETTLE: Duration = Duration::from_secs(120);

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    ControlPlane,
    Agent,
    Both,
}

/// Numbers that look random and are the same for the same seed (Marsaglia's xorshift).
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From 0 to `bound`, excluded.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// A control plane with one enrolled host.
pub(crate) struct Fleet {
    pub(crate) control: ControlPlane,
    pub(crate) host: Host,
    pub(crate) agent_id: String,
}

impl Fleet {
    /// Starts both and enrols the host.
    pub(crate) fn start(config: &str) -> Self {
        let programs: Programs = build(false).unwrap();
        let mut control = ControlPlane::new(&programs, &["--heartbeat-interval", "500ms"]).unwrap();
        control.start().unwrap();
        let mut host = Host::new(&programs.edge_agent).unwrap();
        host.configure(config).unwrap();
        host.start().unwrap();
        let agent_id = control.enrol(&host).unwrap();
        control.wait_presence(&agent_id, "online").unwrap();
        Self { control, host, agent_id }
    }

    /// Asks for these actions, each until it is taken in, while `kills` does its work; then waits until all have ended.
    /// Answers each action as the control plane shows it.
    pub(crate) fn flow(
        &mut self,
        actions: &[Value],
        kills: impl FnOnce(&mut ControlPlane, &mut Host),
    ) -> BTreeMap<String, Value> {
        let (address, key) = (self.control.http_addr().to_owned(), self.control.key().unwrap());
        let path = format!("/v1/agents/{}/actions", self.agent_id);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                for action in actions {
                    ask(&address, &path, &key, action);
                }
                over.store(true, Ordering::Release);
            });
            kills(&mut self.control, &mut self.host);
            asking.join().unwrap();
        });
        assert!(over.load(Ordering::Acquire));
        self.ended(actions)
    }

    fn ended(&self, actions: &[Value]) -> BTreeMap<String, Value> {
        let began = Instant::now();
        loop {
            let known: BTreeMap<String, Value> = self
                .control
                .list("/v1/actions")
                .unwrap()
                .into_iter()
                .map(|action| (action["action_id"].as_str().unwrap().to_owned(), action))
                .collect();
            let open: Vec<&Value> = actions
                .iter()
                .map(|action| known.get(action["action_id"].as_str().unwrap()).expect("an action is lost"))
                .filter(|action| {
                    ["queued", "delivered", "running"].map(Value::from).contains(&action["status"])
                })
                .collect();
            if open.is_empty() {
                return known;
            }
            let log = || std::fs::read_to_string(self.host.log()).unwrap_or_default();
            let tail = || log().lines().rev().take(30).collect::<Vec<_>>().join("\n");
            assert!(
                began.elapsed() < SETTLE,
                "{} have not ended: {:?}\n{}",
                open.len(),
                open.first(),
                tail()
            );
            pause(Duration::from_millis(100));
        }
    }
}

/// Asks for an action until somebody takes it in: while nobody is there, and again when the answer was lost.
fn ask(address: &str, path: &str, key: &str, action: &Value) {
    until("the action to be taken in", || {
        let (status, body) = request(address, "POST", path, Some(key), Some(action))?;
        assert!(matches!(status, 202 | 429 | 503), "{status} {body}");
        (status == 202).then_some(())
    })
    .unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "the moment of a kill is drawn, and other programs are looked at"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Kills so often, at drawn moments, and starts again what was killed. Everything runs at the end.
pub(crate) fn kill(control: &mut ControlPlane, host: &mut Host, chance: &mut Chance, kills: u32) {
    for _ in 0..kills {
        pause(Duration::from_micros(chance.below(400_000)));
        let victim = [Victim::ControlPlane, Victim::Agent, Victim::Both]
            [usize::try_from(chance.below(3)).unwrap_or_default()];
        if victim != Victim::Agent {
            control.kill_9().unwrap();
        }
        if victim != Victim::ControlPlane {
            host.kill_9().unwrap();
        }
        pause(Duration::from_micros(chance.below(100_000)));
        if victim != Victim::Agent {
            control.spawn().unwrap();
        }
        if victim != Victim::ControlPlane {
            host.spawn().unwrap();
        }
        // Sometimes the next kill comes while they are still starting.
        if chance.below(3) > 0 {
            control.wait_ready().unwrap();
            host.wait_ready().unwrap();
        }
    }
    control.wait_ready().unwrap();
    host.wait_ready().unwrap();
}

/// The actions of one VM in their order: created, paused and resumed `times` times, stopped. A
/// delete would overtake what waits.
pub(crate) fn life(create: &Value, vm_id: &str, round: &str, times: u32) -> Vec<Value> {
    let named = |mut action: Value, step: &str| {
        action["action_id"] = json!(format!("{round}.{vm_id}.{step}"));
        // A busy machine and a row of crashes are no reason to give an action up.
        action["timeout_seconds"] = json!(600);
        action
    };
    let on = |action_type: &str| json!({"action_type": action_type, "params": {"vm_id": vm_id}});
    let mut actions = vec![named(create.clone(), "0-create")];
    for time in 0..times {
        actions.push(named(on("MicroVMPause"), &format!("{}-pause", 2 * time + 1)));
        actions.push(named(on("MicroVMResume"), &format!("{}-resume", 2 * time + 2)));
    }
    actions.push(named(on("MicroVMStop"), "z-stop"));
    actions
}
