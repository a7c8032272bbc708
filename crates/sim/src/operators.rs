//! Operators: they ask until they are answered, and sometimes cancel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nkudo_domain::{
    Action, ActionId, AskedBy, Console, CreateVm, DeleteVm, HostCommand, Machine, Request, RestartPolicy,
    StopVm, VmId, VmSpec,
};

use crate::books::Cancelled;
use crate::commands::PROGRAM;
use crate::network::ToAgent;
use crate::plan::{Ask, Kind};
use crate::world::{Event, World};

/// When an operator who was not answered asks again.
const AGAIN_US: u64 = 1_000_000;

#[derive(Debug, Default)]
pub(crate) struct Operators {
    /// How many deeds of an action have had their fate.
    pub(crate) fates_used: BTreeMap<ActionId, usize>,
    /// Asks that nobody has answered yet, and cancels.
    pub(crate) unanswered: BTreeSet<ActionId>,
}

fn action_id(number: u32) -> ActionId {
    format!("a{number}").parse().expect("it is an identifier")
}

/// The number in the name of an action.
pub(crate) fn number_of(action_id: &ActionId) -> Option<u32> {
    action_id.as_str().strip_prefix('a')?.parse().ok()
}

/// The VM of a host with this number.
pub(crate) fn vm_id(agent: usize, vm: u32) -> VmId {
    format!("01890a5d-ac96-774b-{:04}-{vm:012}", 8_000 + agent).parse().expect("it is a UUID")
}

fn action(ask: &Ask) -> Action {
    let vm_id = vm_id(ask.agent, ask.vm);
    let create = |restart_policy, autostart| {
        let spec = VmSpec {
            vm_id,
            vm_name: format!("vm-{}", ask.vm).parse().expect("it is a name"),
            vcpus: 1,
            memory_bytes: 64 << 20,
            kernel: "/boot/kernel".into(),
            initramfs: None,
            cmdline: String::new(),
            disks: Vec::new(),
            nics: Vec::new(),
            console: Console::Log,
            provider: None,
            machine: Machine::Q35,
            restart_policy,
            labels: [].into(),
        };
        Request::Create(CreateVm { spec, autostart })
    };
    let execute = |program: &str, timeout_ms| {
        Request::Execute(HostCommand {
            program: program.into(),
            args: Vec::new(),
            timeout: Duration::from_millis(timeout_ms),
            dir: "/".into(),
            env: BTreeMap::new(),
        })
    };
    let request = match ask.kind {
        Kind::Create => create(RestartPolicy::No, true),
        Kind::CreateStopped => create(RestartPolicy::No, false),
        Kind::CreateRestarting => create(RestartPolicy::Always, true),
        Kind::Start => Request::Start(vm_id),
        Kind::Stop => Request::Stop(StopVm { vm_id, grace: Duration::from_secs(5) }),
        Kind::Pause => Request::Pause(vm_id),
        Kind::Resume => Request::Resume(vm_id),
        Kind::Delete => Request::Delete(DeleteVm { vm_id, delete_disks: false }),
        Kind::Command { timeout_ms } => execute(PROGRAM, timeout_ms),
        Kind::ForbiddenCommand => execute("/bin/sh", ask.timeout_ms),
    };
    Action {
        action_id: action_id(ask.number),
        request,
        timeout: Duration::from_millis(ask.timeout_ms),
        trace_id: None,
        parent_span_id: None,
        correlation_id: None,
        asked_by: AskedBy::Unknown,
        start_within: None,
    }
}

impl World<'_> {
    pub(crate) fn ask(&mut self, number: usize) {
        let Some(ask) = self.plan.asks.get(number) else { return };
        let action = action(ask);
        let action_id = action.action_id.clone();
        self.operators.unanswered.insert(action_id.clone());
        self.judge.asked(ask.agent, &action_id);
        if self.control.run.is_none() {
            return self.after(AGAIN_US, Event::Ask { ask: number });
        }
        let now_ms = self.control.clocks.now(self.at_us).wall_ms;
        let expires_at_ms = now_ms + i64::try_from(ask.expires_ms).unwrap_or(i64::MAX);
        let agent = ask.agent;
        let is_new = self.books.ask(agent, &action, expires_at_ms);
        self.tell(|| format!("{action_id} is asked for: {}", if is_new { "new" } else { "known" }));
        // An answer that is lost, or never sent, is asked for again.
        let is_lost = self.chance("answers").permille(30) && !self.healed;
        if !self.control_goes_on() || is_lost {
            return self.after(AGAIN_US, Event::Ask { ask: number });
        }
        self.operators.unanswered.remove(&action_id);
        self.judge.accepted(&action_id);
        if let Some(session) = self.control.sessions.get_mut(&agent) {
            session.dispatch.wake();
        }
        self.fetch(agent);
    }

    pub(crate) fn cancel(&mut self, number: usize) {
        let Some(ask) = self.plan.asks.get(number) else { return };
        let action_id = action_id(ask.number);
        if self.control.run.is_none() {
            return self.after(AGAIN_US, Event::Cancel { ask: number });
        }
        let answer = self.books.cancel(&action_id);
        self.tell(|| format!("{action_id} is to be cancelled: {answer:?}"));
        self.books_changed(&action_id);
        if let Cancelled::Asked(agent) = answer
            && self.control_goes_on()
        {
            self.order(agent, ToAgent::Cancel { action_id });
        }
    }
}
