//! The end of all processes of one that is contained.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::{Pid, kill_process_group};
use tokio::time::Instant;

use super::group::Group;
use super::members;
use crate::clock;
use crate::pidfd::{PidFd, Signal};
use crate::process::{Identity, Kin};

/// After this, what lives on is given up: it waits in the kernel for something that does not come.
const KILL_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked for more to stop, before those that are known are ended.
const STOP_LOOKS: usize = 100;

/// At the latest after this it is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How the processes of one are reached, from its start until its first process is reaped.
#[derive(Debug)]
pub(super) struct Reach {
    pub(super) group: Group,
    pub(super) mark: String,
    pub(super) leader: Identity,
    /// What had been used by those that we had to end.
    ended: BTreeMap<Identity, Duration>,
}

impl Reach {
    pub(super) fn new(group: Group, mark: String, leader: Identity) -> Reach {
        Reach { group, mark, leader, ended: BTreeMap::new() }
    }

    /// Its living processes, as cheaply as they can be had.
    pub(super) fn members(&self) -> Vec<Kin> {
        if self.group.is_none() { members::of_running(&self.mark, self.leader) } else { self.group.members() }
    }

    /// The CPU time of all of them. The first has ended and was not reaped.
    pub(super) fn cpu(&self) -> Duration {
        self.group.cpu().unwrap_or_else(|| {
            let leader = Kin::of(self.leader.pid).map_or(Duration::ZERO, |leader| leader.cpu);
            self.ended.values().fold(leader, |sum, cpu| sum.saturating_add(*cpu))
        })
    }

    /// Ends all of them; tells who lives on after [`KILL_WITHIN`]. Cancel safe.
    pub(super) async fn kill(&mut self) -> Vec<Identity> {
        let ends_at = Instant::now() + KILL_WITHIN;
        loop {
            let alive = self.kill_once();
            let Some(first) = alive.first() else { return Vec::new() };
            if Instant::now() >= ends_at {
                return alive.iter().map(PidFd::identity).collect();
            }
            // Whether it ended or the time did: it is looked again.
            drop(tokio::time::timeout(LOOK_AGAIN, first.exited()).await);
        }
    }

    /// As [`Reach::kill`], for where nothing can be awaited.
    pub(super) fn kill_blocking(&mut self) -> Vec<Identity> {
        kill_blocking(|| self.kill_once())
    }

    /// Sends SIGKILL to all that can be found now; handles on those that have not ended by it yet.
    fn kill_once(&mut self) -> Vec<PidFd> {
        self.group.kill();
        let mut alive: Vec<PidFd> = self.group.members().iter().filter_map(Kin::handle).collect();
        let stopped = stop_all(|| members::of_running(&self.mark, self.leader));
        if self.group.cpu().is_none() {
            for kin in stopped.iter().filter_map(|handle| Kin::of(handle.identity().pid)) {
                if kin.identity != self.leader {
                    self.ended.insert(kin.identity, kin.cpu);
                }
            }
        }
        // Nobody else can have this group as long as its leader is not reaped. An error says that none of it is left.
        if let Some(leader) = i32::try_from(self.leader.pid).ok().and_then(Pid::from_raw) {
            kill_process_group(leader, rustix::process::Signal::KILL).ok();
        }
        kill_all(&stopped);
        alive.extend(stopped);
        alive.retain(|handle| !handle.has_exited());
        alive
    }
}

/// Stops all that can be found, until no more are: so no parent ends before its children are known, and none forks while
/// they are ended.
pub(super) fn stop_all(mut find: impl FnMut() -> Vec<Kin>) -> Vec<PidFd> {
    let mut stopped: BTreeMap<Identity, PidFd> = BTreeMap::new();
    let mut quiet = 0;
    for _ in 0..STOP_LOOKS {
        let found = find().into_iter().filter(|kin| !stopped.contains_key(&kin.identity)).collect::<Vec<_>>();
        // A look goes through the pids and may miss one that has just moved to another; hardly twice.
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        if quiet == 2 {
            break;
        }
        for handle in found.iter().filter_map(Kin::handle) {
            send(&handle, Signal::Stop);
            stopped.insert(handle.identity(), handle);
        }
    }
    stopped.into_values().collect()
}

pub(super) fn kill_all(handles: &[PidFd]) {
    handles.iter().for_each(|handle| send(handle, Signal::Kill));
}

/// One that has ended meanwhile needs no signal; one that may not be signalled is seen to live.
fn send(handle: &PidFd, signal: Signal) {
    handle.signal(signal).ok();
}

/// Repeats a round until it finds none that lives; tells who lives on after [`KILL_WITHIN`].
pub(super) fn kill_blocking(mut round: impl FnMut() -> Vec<PidFd>) -> Vec<Identity> {
    let began_ms = clock::monotonic_ms();
    let bound_ms = u64::try_from(KILL_WITHIN.as_millis()).unwrap_or(u64::MAX);
    loop {
        let alive = round();
        let Some(first) = alive.first() else { return Vec::new() };
        if clock::monotonic_ms().saturating_sub(began_ms) >= bound_ms {
            return alive.iter().map(PidFd::identity).collect();
        }
        first.wait(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use super::*;
    use crate::spawn::{Detached, detached};

    #[tokio::test]
    async fn what_is_found_late_is_stopped_too() {
        let null = || File::options().read(true).write(true).open("/dev/null").unwrap();
        let sleep = || {
            let (program, args) = (Path::new("/bin/sleep"), &["600".into()]);
            let (stdin, stdout, stderr) = (null(), null(), null());
            detached(Detached { program, args, stdin, stdout, stderr, cwd: Path::new("/"), env: &[] })
                .unwrap()
        };
        let mut children = [sleep(), sleep()];
        let kins = children.each_ref().map(|child| Kin::of(child.identity().pid).unwrap());
        let mut looks = 0;
        let stopped = stop_all(|| {
            looks += 1;
            kins.into_iter().take(looks / 2).collect()
        });
        let mut found: Vec<Identity> = stopped.iter().map(PidFd::identity).collect();
        found.sort_unstable();
        let mut expected = kins.map(|kin| kin.identity);
        expected.sort_unstable();
        let began_ms = clock::monotonic_ms();
        let is_stopped = |pid: u32| {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "))
        };
        // The signal is sent; that they stand still comes a little later.
        let all_stopped = || expected.iter().all(|identity| is_stopped(identity.pid));
        while !all_stopped() && clock::monotonic_ms() < began_ms + 20_000 {
            tokio::task::yield_now().await;
        }
        let stand_still = all_stopped();
        kill_all(&children.each_ref().map(|child| PidFd::open_unchecked(child.identity()).unwrap()));
        for child in &mut children {
            assert_eq!(child.exited().await.signal, Some(9));
        }
        assert_eq!(found, expected);
        assert!(stand_still);
    }
}
