//! A flow of actions while programs are killed, and what has to hold afterwards.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::agent::Host;
pub(crate) use xtask::chaos::chance::Chance;
use xtask::chaos::fire;
use xtask::chaos::fire::Operator;
pub(crate) use xtask::chaos::fire::pause;
use xtask::fleet::{ControlPlane, Programs, build};

/// How long a whole round may take to settle after the last kill.
const SETTLE: Duration = Duration::from_secs(120);

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
        let operator = Operator::of(&self.control, &self.host, &self.agent_id).unwrap();
        let ask = || actions.iter().try_for_each(|action| operator.ask(action));
        let (control, host) = (&mut self.control, &mut self.host);
        fire::under(&operator, ask, || {
            kills(control, host);
            Ok(())
        })
        .unwrap();
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
                .filter(|action| fire::is_open(action))
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

/// Strikes so often, at drawn moments, and starts again what was killed. Everything runs at the end.
pub(crate) fn kill(control: &mut ControlPlane, host: &mut Host, chance: &mut Chance, strikes: u32) {
    fire::kill(control, host, chance, strikes, u64::MAX, || false).unwrap();
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
