//! Lives of VMs: what is asked of each, drawn by chance, and what the table of actions by states makes of it.

use nkudo_domain::{ActionType, Deed, Verdict, VmState, verdict};
use serde_json::{Value, json};

use super::chance::Chance;
use super::judge::{Expected, Wanted};

/// Pauses, resumes and the like of one boot.
const STEPS: u64 = 6;
/// A busy machine and a row of crashes are no reason to give an action up.
const TIMEOUT_SECONDS: u64 = 600;
/// How long a guest may take to switch itself off. One that is asked before it listens is forced afterwards.
const GRACE_SECONDS: u64 = 1;

/// An action to ask for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub action_id: String,
    pub body: Value,
    pub expected: Expected,
}

/// What is asked of a VM in a row, and how it must be when all of that has ended.
#[derive(Debug, Clone)]
pub struct Leg {
    pub asked: Vec<Asked>,
    pub after: Wanted,
}

/// A VM while its life is drawn.
#[derive(Debug)]
struct Life<'c> {
    chance: &'c mut Chance,
    prefix: String,
    vm: Wanted,
    asked: Vec<Asked>,
    legs: Vec<Leg>,
}

/// The life of one VM: created, steered, now and then stopped and started, steered again, and deleted in whatever state it is.
/// A leg ends before each stop, as its hypervisor takes what it has told with it, and before the delete, which would
/// overtake what waits. Ids of actions begin with `prefix`.
pub fn draw(chance: &mut Chance, prefix: &str, vm_id: &str, create: &Value) -> Vec<Leg> {
    let vm = Wanted { vm_id: vm_id.to_owned(), state: Some(VmState::Running), halted: 0, set_going: 0 };
    let mut life = Life { chance, prefix: prefix.to_owned(), vm, asked: Vec::new(), legs: Vec::new() };
    life.add(create.clone(), Expected::Done);
    life.steer();
    life.rest();
    if life.chance.below(4) > 0 {
        life.ask(ActionType::Stop);
        if life.chance.below(2) > 0 {
            let out_of_place = life.chance.of(&[ActionType::Pause, ActionType::Resume, ActionType::Stop]);
            life.ask(out_of_place);
        }
        if life.chance.below(4) > 0 {
            life.ask(ActionType::Start);
            life.steer();
        }
        life.rest();
    }
    life.ask(ActionType::Delete);
    life.rest();
    life.legs
}

impl Life<'_> {
    fn steer(&mut self) {
        for _ in 0..=self.chance.below(STEPS) {
            let step = match self.chance.below(8) {
                0 => ActionType::Start,
                1 => self.chance.of(&[ActionType::Pause, ActionType::Resume]),
                _ if self.vm.state == Some(VmState::Paused) => ActionType::Resume,
                _ => ActionType::Pause,
            };
            self.ask(step);
        }
    }

    fn rest(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.legs.push(Leg { asked, after: self.vm.clone() });
    }

    fn ask(&mut self, action_type: ActionType) {
        let mut body = json!({"action_type": action_type.as_str(), "params": {"vm_id": self.vm.vm_id}});
        if action_type == ActionType::Stop {
            body["params"]["grace_seconds"] = json!(GRACE_SECONDS);
        }
        let state = self.vm.state.expect("nothing is asked of a VM that was deleted");
        let expected = match verdict(action_type, state) {
            Verdict::Unchanged => Expected::Unchanged,
            Verdict::Refuse => Expected::Refused,
            Verdict::Perform(deed) => {
                self.perform(deed);
                Expected::Done
            }
        };
        self.add(body, expected);
    }

    fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::Create | Deed::Boot => {
                (self.vm.halted, self.vm.set_going) = (0, 0);
                self.vm.state = Some(VmState::Running);
            }
            Deed::PowerOff | Deed::ForceOff | Deed::SettleStopped => self.vm.state = Some(VmState::Stopped),
            Deed::Pause => {
                self.vm.halted += 1;
                self.vm.state = Some(VmState::Paused);
            }
            Deed::Resume => {
                self.vm.set_going += 1;
                self.vm.state = Some(VmState::Running);
            }
            Deed::Delete => self.vm.state = None,
        }
    }

    fn add(&mut self, mut body: Value, expected: Expected) {
        let number = self.legs.iter().map(|leg| leg.asked.len()).sum::<usize>() + self.asked.len();
        let action_id = format!("{}.{number}", self.prefix);
        body["action_id"] = json!(action_id);
        body["timeout_seconds"] = json!(TIMEOUT_SECONDS);
        self.asked.push(Asked { action_id, body, expected });
    }
}
