//! From what the journal says and what was found to what comes next.

use nkudo_api::view::ActionView;
use nkudo_domain::{Exit, Observation, ProviderKind, RestartPolicy, VmState};
use nkudo_providers::Findings;

/// What bears on what comes next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position<'a> {
    /// None where the journal does not know the VM.
    pub(super) state: Option<VmState>,
    /// The action that runs, or is next.
    pub(super) open: Option<&'a ActionView>,
    pub(super) restart_policy: Option<RestartPolicy>,
    /// The journal remembers that it was deleted.
    pub(super) deleted: bool,
    pub(super) daemon_running: bool,
}

/// What was found, in a stable word.
pub(super) fn word(found: &Observation) -> &'static str {
    match found {
        Observation::Running => "running",
        Observation::Paused => "paused",
        Observation::Stopped(_) => "stopped",
        Observation::Unresponsive => "unresponsive",
        Observation::Absent => "absent",
    }
}

/// The state that the agent gives a VM which it finds so, when nobody asked for it.
fn recorded(found: &Observation) -> VmState {
    match found {
        Observation::Running => VmState::Running,
        Observation::Paused => VmState::Paused,
        Observation::Unresponsive => VmState::Unknown,
        Observation::Stopped(Some(Exit::Died(_))) | Observation::Absent => VmState::Failed,
        Observation::Stopped(None | Some(Exit::GuestPoweredOff | Exit::HostRebooted)) => VmState::Stopped,
    }
}

/// What is found of a VM whose provider is not configured.
pub(super) fn no_provider(kind: ProviderKind) -> Findings {
    Findings {
        facts: Vec::new(),
        events: Vec::new(),
        observation: Observation::Unresponsive,
        why: format!("its provider {kind} is not configured, so nobody can say how it is"),
    }
}

impl Position<'_> {
    pub(super) fn agrees(&self, found: &Observation) -> bool {
        match (self.state, found) {
            (Some(VmState::Running), Observation::Running)
            | (Some(VmState::Paused), Observation::Paused)
            | (Some(VmState::Unknown), Observation::Unresponsive)
            | (Some(VmState::Stopped | VmState::Failed), Observation::Stopped(_))
            | (Some(VmState::Failed), Observation::Absent)
            | (Some(VmState::Creating), Observation::Stopped(None) | Observation::Absent)
            | (None, Observation::Absent) => true,
            (Some(_) | None, _) => false,
        }
    }

    /// What the agent does if nobody asks for anything.
    pub(super) fn next(&self, found: &Observation) -> String {
        if let Some(open) = self.open {
            let (action_type, action_id) = (open.action_type, &open.action_id);
            return if self.daemon_running {
                format!(
                    "{action_type} {action_id} is under way; how the vm is afterwards shows when it has ended"
                )
            } else {
                format!("the next start of the agent finishes {action_type} {action_id}, or takes it back")
            };
        }
        let Some(state) = self.state else {
            return match (self.deleted, self.daemon_running) {
                (true, _) => {
                    "the next start of the agent takes it over, although the journal says that it was deleted"
                }
                (false, true) => "nothing until its next start, which takes over what it finds",
                (false, false) => "the next start of the agent takes it over as it is found",
            }
            .to_owned();
        };
        if !self.agrees(found) {
            let who = if self.daemon_running {
                "its next look, within 15 seconds,"
            } else {
                "the next start of the agent"
            };
            let recorded = recorded(found);
            return match self.restarts(state, found) {
                Some(policy) => format!(
                    "{who} records that it is {recorded} and not {state}; then it is started again, as its restart policy is {policy}"
                ),
                None => format!("{who} records that it is {recorded} and not {state}"),
            };
        }
        match (state, self.restart_policy) {
            (VmState::Running | VmState::Creating, _) => "nothing: it is as it is to be".to_owned(),
            (VmState::Paused, _) => "nothing until it is resumed".to_owned(),
            (VmState::Unknown, _) => {
                "it is looked at again every two seconds; nothing is killed and nothing is started over it"
                    .to_owned()
            }
            (VmState::Failed, Some(policy @ (RestartPolicy::OnFailure | RestartPolicy::Always))) => {
                format!(
                    "it is started again, as its restart policy is {policy}, later with each try that was in vain"
                )
            }
            (VmState::Failed | VmState::Stopped, _) => "nothing until it is started".to_owned(),
        }
    }

    /// The policy that has it started again after an end that nobody asked for.
    fn restarts(&self, state: VmState, found: &Observation) -> Option<RestartPolicy> {
        let was_alive = matches!(state, VmState::Running | VmState::Paused | VmState::Unknown);
        let ended = matches!(found, Observation::Stopped(_));
        let wanted = match self.restart_policy? {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure => recorded(found) == VmState::Failed,
            RestartPolicy::Always => true,
        };
        self.restart_policy.filter(|_| was_alive && ended && wanted)
    }

    /// What the user can do.
    pub(super) fn remedy(&self, found: &Observation) -> Option<String> {
        let remedy = match (self.state, found) {
            (Some(VmState::Running | VmState::Creating), _) if self.agrees(found) => return None,
            _ if self.open.is_some() && self.daemon_running => {
                "wait for the action, or cancel it (POST /v1/actions/ACTION/cancel on agent.sock)"
            }
            (None, _) if self.deleted => {
                "`edge-agent doctor` says whether it is left from before; `doctor --fix` puts that aside"
            }
            (None, _) if self.daemon_running => {
                "restart the agent, vms run on: it takes this one over; ask for MicroVMDelete if it is not wanted"
            }
            (Some(_) | None, _) if !self.daemon_running && (self.state.is_none() || !self.agrees(found)) => {
                "start the agent: `edge-agent run`"
            }
            (_, Observation::Unresponsive) => {
                "look at the monitor's error above; MicroVMStop and MicroVMDelete end the process that does not answer"
            }
            (_, Observation::Absent) => {
                "ask for MicroVMDelete, and for MicroVMCreate when it is wanted again"
            }
            (_, Observation::Paused) => "ask for MicroVMResume when it is to run on",
            (_, Observation::Stopped(_)) => {
                "ask for MicroVMStart when it is to run; its console.log and vmm.log stay until then"
            }
            (_, Observation::Running) => return None,
        };
        Some(remedy.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(state: Option<VmState>, daemon_running: bool) -> Position<'static> {
        Position {
            state,
            open: None,
            restart_policy: Some(RestartPolicy::No),
            deleted: false,
            daemon_running,
        }
    }

    fn check(position: &Position<'_>, found: &Observation, agrees: bool, next: &str, remedy: Option<&str>) {
        assert_eq!(position.agrees(found), agrees, "{position:?} {found:?}");
        let told = position.next(found);
        assert!(told.contains(next), "{position:?} {found:?}: `{told}` lacks `{next}`");
        let told = position.remedy(found);
        assert_eq!(told.is_some(), remedy.is_some(), "{position:?} {found:?}: {told:?}");
        let remedy = remedy.unwrap_or_default();
        assert!(told.unwrap_or_default().contains(remedy), "{position:?} {found:?} lacks `{remedy}`");
    }

    #[test]
    fn what_comes_next_follows_from_the_journal_and_the_host() {
        use Observation::{Absent, Paused, Running, Stopped, Unresponsive};
        let died = || Stopped(Some(Exit::Died("signal 9".to_owned())));
        let known = |state| position(Some(state), true);
        check(&known(VmState::Running), &Running, true, "nothing", None);
        check(&known(VmState::Paused), &Paused, true, "until it is resumed", Some("MicroVMResume"));
        check(&known(VmState::Stopped), &Stopped(None), true, "until it is started", Some("MicroVMStart"));
        check(&known(VmState::Failed), &died(), true, "until it is started", Some("MicroVMStart"));
        check(&known(VmState::Failed), &Absent, true, "until it is started", Some("MicroVMDelete"));
        check(&known(VmState::Unknown), &Unresponsive, true, "every two seconds", Some("MicroVMStop"));
        check(&known(VmState::Creating), &Absent, true, "nothing", None);
        check(
            &known(VmState::Running),
            &died(),
            false,
            "records that it is failed and not running",
            Some(""),
        );
        let away = |state| position(state, false);
        let start = Some("edge-agent run");
        check(&away(Some(VmState::Running)), &died(), false, "next start of the agent records", start);
        check(
            &away(Some(VmState::Stopped)),
            &Stopped(None),
            true,
            "until it is started",
            Some("MicroVMStart"),
        );
        check(&away(None), &Running, false, "takes it over", start);
        check(&position(None, true), &Running, false, "until its next start", Some("restart the agent"));
        let deleted = Position { deleted: true, ..away(None) };
        check(
            &deleted,
            &Running,
            false,
            "although the journal says that it was deleted",
            Some("doctor --fix"),
        );
        let policy = Some(RestartPolicy::OnFailure);
        let restarted = Position { restart_policy: policy, ..known(VmState::Failed) };
        check(&restarted, &died(), true, "its restart policy is on-failure", Some("MicroVMStart"));
    }

    #[test]
    fn what_is_foretold_is_what_the_agent_records() {
        use Observation::{Absent, Paused, Running, Stopped, Unresponsive};
        let died = Stopped(Some(Exit::Died("signal 9".to_owned())));
        let off = Stopped(Some(Exit::GuestPoweredOff));
        let foretold = |state, policy, found: &Observation| {
            Position { restart_policy: Some(policy), ..position(Some(state), false) }.next(found)
        };
        let never = RestartPolicy::No;
        let cases = [
            (VmState::Running, &died, "failed and not running"),
            (VmState::Unknown, &died, "failed and not unknown"),
            (VmState::Running, &off, "stopped and not running"),
            (VmState::Paused, &Stopped(Some(Exit::HostRebooted)), "stopped and not paused"),
            (VmState::Running, &Stopped(None), "stopped and not running"),
            (VmState::Running, &Absent, "failed and not running"),
            (VmState::Running, &Paused, "paused and not running"),
            (VmState::Stopped, &Unresponsive, "unknown and not stopped"),
            (VmState::Stopped, &Running, "running and not stopped"),
        ];
        for (state, found, recorded) in cases {
            let expected = format!("the next start of the agent records that it is {recorded}");
            assert_eq!(foretold(state, never, found), expected, "{state} {found:?}");
        }
        let restarted = |state, policy, found: &Observation| {
            let told = foretold(state, policy, found);
            told.ends_with(&format!("then it is started again, as its restart policy is {policy}"))
        };
        assert!(restarted(VmState::Running, RestartPolicy::OnFailure, &died));
        assert!(!restarted(VmState::Running, RestartPolicy::OnFailure, &off));
        assert!(restarted(VmState::Paused, RestartPolicy::Always, &off));
        assert!(!restarted(VmState::Running, RestartPolicy::Always, &Absent));
        assert!(!restarted(VmState::Stopped, RestartPolicy::Always, &Running));
    }
}
