//! Which processes belong to what is contained, without the help of a control group.

use std::collections::BTreeMap;

use super::owner::{MARK, Owner};
use crate::process::{self, Identity, Kin};

/// Whether a process is still there, be it as a zombie: so its pid did not come to mean another in between.
fn is_there(kin: &Kin) -> bool {
    Kin::of(kin.identity.pid).is_some_and(|now| (now.identity, now.session) == (kin.identity, kin.session))
}

/// The living processes of one that runs. The first must not have been reaped yet: as long as it is there, nobody else
/// can have its session.
pub(super) fn of_running(mark: &str, leader: Identity) -> Vec<Kin> {
    let mut all = process::every();
    // None of them can be older than the first.
    all.retain(|kin| kin.identity.start_ticks >= leader.start_ticks);
    let name_of = |kin: &Kin| {
        let marked = kin.identity == leader
            || process::environment_value(kin.identity.pid, MARK)
                .is_some_and(|value| value == mark.as_bytes());
        marked.then_some(())
    };
    family(&all, name_of, is_there, std::process::id()).into_iter().map(|(kin, ())| kin).collect()
}

/// The living processes of all that this owner started, each with its name.
pub(super) fn of_owner(owner: &Owner) -> Vec<(Kin, String)> {
    let name_of = |kin: &Kin| {
        let value = process::environment_value(kin.identity.pid, MARK)?;
        owner.name_in_mark(&value).map(str::to_owned)
    };
    family(&process::every(), name_of, is_there, std::process::id())
}

/// Those that are marked, those in their sessions, and those that come from any of these; never ourselves. A marked
/// process is in a session that was made for it or below it. Only when we are marked ourselves can it be in ours, which
/// says nothing then.
///
/// A parent or a session counts when the process that it is known by is still there after all were looked at: then the
/// number named it all along.
fn family<Name: Clone>(
    all: &[Kin],
    name_of: impl Fn(&Kin) -> Option<Name>,
    is_there: impl Fn(&Kin) -> bool,
    own_pid: u32,
) -> Vec<(Kin, Name)> {
    let own_session = all.iter().find(|kin| kin.identity.pid == own_pid).map(|kin| kin.session);
    let mut rest: Vec<(Kin, Option<Name>)> =
        all.iter().filter(|kin| kin.identity.pid != own_pid).map(|kin| (*kin, name_of(kin))).collect();
    let (mut pids, mut sessions) = (BTreeMap::<u32, (Kin, Name)>::new(), BTreeMap::<u32, (Kin, Name)>::new());
    let mut found = Vec::new();
    // Each turn takes at least one out, or is the last.
    loop {
        let before = found.len();
        rest.retain(|(kin, marked)| {
            let known =
                |by: Option<&(Kin, Name)>| by.filter(|(by, _)| is_there(by)).map(|(_, name)| name.clone());
            let named = marked.clone();
            let named = named.or_else(|| known(sessions.get(&kin.session)));
            let Some(name) = named.or_else(|| known(pids.get(&kin.parent))) else { return true };
            pids.insert(kin.identity.pid, (*kin, name.clone()));
            if kin.session != 0 && Some(kin.session) != own_session {
                sessions.insert(kin.session, (*kin, name.clone()));
            }
            found.push((*kin, name));
            false
        });
        if found.len() == before {
            break;
        }
    }
    found.retain(|(kin, _)| kin.alive);
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Pid, parent, session; a zombie has no parent here.
    fn kin((pid, parent, session): (u32, u32, u32)) -> Kin {
        let identity = Identity { pid, start_ticks: 1 };
        Kin { identity, alive: parent != 0, parent, session, cpu: Duration::ZERO }
    }

    #[test]
    fn marks_sessions_and_parents_lead_to_the_whole_family() {
        let check = |all: &[(u32, u32, u32)], marked: &[(u32, char)], expected: &[(u32, char)]| {
            let all: Vec<Kin> = all.iter().copied().map(kin).collect();
            let name_of =
                |kin: &Kin| marked.iter().find(|(pid, _)| *pid == kin.identity.pid).map(|(_, name)| *name);
            let mut found: Vec<_> = family(&all, name_of, |kin| kin.identity.pid != 66, 50)
                .into_iter()
                .map(|(kin, name)| (kin.identity.pid, name))
                .collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{all:?}, marked {marked:?}");
        };
        let own = (50, 1, 50);
        check(&[own, (60, 50, 60), (61, 1, 1)], &[], &[]);
        // Also those whose parent ended, or that began a session, and those below them; in any order.
        let all = [(40, 45, 45), (45, 60, 45), own, (60, 50, 60), (61, 1, 60), (62, 50, 62), (63, 1, 1)];
        check(&all, &[(60, 'a')], &[(40, 'a'), (45, 'a'), (60, 'a'), (61, 'a')]);
        check(&all, &[(40, 'a'), (62, 'b')], &[(40, 'a'), (45, 'a'), (62, 'b')]);
        // What has ended still tells the session, and is not told itself.
        check(&[own, (60, 0, 60), (61, 1, 60)], &[(60, 'a')], &[(61, 'a')]);
        // We are in it ourselves, and so is whoever started us.
        let all = [(49, 1, 49), (50, 49, 49), (51, 50, 51), (52, 49, 49), (53, 50, 49)];
        check(&all, &[(50, 'a'), (51, 'a')], &[(51, 'a')]);
        check(&[(49, 1, 0), own], &[(49, 'a')], &[(49, 'a')]);
        // 66 is another's pid by now.
        check(&[own, (66, 50, 66), (67, 66, 67), (68, 1, 66)], &[(66, 'a')], &[(66, 'a')]);
        check(
            &[own, (66, 1, 65), (67, 1, 65), (68, 1, 65)],
            &[(66, 'a'), (67, 'a')],
            &[(66, 'a'), (67, 'a'), (68, 'a')],
        );
    }
}
