//! The end of all processes of one that is contained.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, kill_process_group};
use tokio::time::Instant;

use super::aside::aside;
use super::group::{Group, pause};
use super::members;
use crate::clock;
use crate::pidfd::{PidFd, PidFdError, Signal};
use crate::process::{Identity, Kin, handle, runs};

/// After this, what lives on is given up: it waits in the kernel for something that does not come.
const KILL_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked for more to stop, before those that are known are ended.
const STOP_LOOKS: usize = 100;

/// At the latest after this it is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How the processes of one are reached, from its start until its first process is reaped.
#[derive(Debug)]
pub(super) struct Reach {
    group: Group,
    mark: String,
    leader: Identity,
    /// What had been used by those that we had to end. Locked for as long as a round takes.
    used: Mutex<BTreeMap<Identity, Duration>>,
}

/// One look for all and killing of them, on a thread that may block; tells who lives. When it is dropped it goes on, or
/// does not begin any more.
pub(super) type Round = Pin<Box<dyn Future<Output = Vec<Identity>> + Send + Sync>>;

impl Reach {
    pub(super) fn new(group: Group, mark: String, leader: Identity) -> Reach {
        Reach { group, mark, leader, used: Mutex::default() }
    }

    /// Its living processes, as cheaply as they can be had.
    pub(super) fn members(&self) -> Vec<Kin> {
        if self.group.is_none() { members::of_running(&self.mark, self.leader) } else { self.group.members() }
    }

    /// The CPU time of all of them. The first has ended and was not reaped.
    pub(super) fn cpu(&self) -> Duration {
        self.group.cpu().unwrap_or_else(|| {
            let leader = Kin::of(self.leader.pid).map_or(Duration::ZERO, |leader| leader.cpu);
            self.used().values().fold(leader, |sum, cpu| sum.saturating_add(*cpu))
        })
    }

    /// Ends all of them; tells who lives on after [`KILL_WITHIN`]. Cancel safe: a round that was given up is gone on with, so
    /// it comes to an end however often that happens.
    pub(super) async fn kill(self: &Arc<Self>, round: &mut Option<Round>) -> Vec<Identity> {
        let ends_at = Instant::now() + KILL_WITHIN;
        loop {
            let alive = round.get_or_insert_with(|| self.round()).await;
            *round = None;
            let Some(first) = alive.first() else { return Vec::new() };
            if Instant::now() >= ends_at {
                return alive;
            }
            match PidFd::open_unchecked(*first) {
                // Whether it ended or the time did: it is looked again.
                Ok(first) => drop(tokio::time::timeout(LOOK_AGAIN, first.exited()).await),
                Err(PidFdError::Gone(_)) => {}
                Err(PidFdError::Open { .. }) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// As [`Reach::kill`], for where nothing can be awaited.
    pub(super) fn kill_blocking(&self) -> Vec<Identity> {
        kill_blocking(|| self.kill_once(|| true))
    }

    /// To be called before the first process is reaped, as its pid may be another's then, and after the [`Round`] was dropped:
    /// waits for it, if it runs.
    pub(super) fn settle(&self) {
        drop(self.used());
    }

    fn round(self: &Arc<Self>) -> Round {
        let (reach, working, awaited) = (Arc::clone(self), Arc::clone(self), Arc::new(()));
        Box::pin(async move {
            let is_awaited = Arc::downgrade(&awaited);
            let round = aside(move || working.kill_once(|| is_awaited.strong_count() > 0)).await;
            drop(awaited);
            round.unwrap_or_else(|| reach.kill_once(|| true))
        })
    }

    fn used(&self) -> MutexGuard<'_, BTreeMap<Identity, Duration>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends SIGKILL to all that can be found now, unless nobody awaits it any more; tells who has not ended by it yet.
    fn kill_once(&self, is_awaited: impl Fn() -> bool) -> Vec<Identity> {
        let mut used = self.used();
        if !is_awaited() {
            return Vec::new();
        }
        self.group.kill();
        let mut alive: Vec<Identity> = self.group.members().iter().map(|kin| kin.identity).collect();
        let stopped = stop_all(|| members::of_running(&self.mark, self.leader));
        if self.group.cpu().is_none() {
            for kin in stopped.iter().filter_map(|process| Kin::of(process.pid)) {
                if kin.identity != self.leader {
                    used.insert(kin.identity, kin.cpu);
                }
            }
        }
        // Nobody else can have this group as long as its leader is not reaped. An error says that none of it is left.
        if let Some(leader) = i32::try_from(self.leader.pid).ok().and_then(Pid::from_raw) {
            kill_process_group(leader, rustix::process::Signal::KILL).ok();
        }
        kill_all(&stopped);
        alive.extend(stopped);
        alive.retain(|process| runs(*process));
        alive
    }
}

/// Stops all that can be found, until no more are: so no parent ends before its children are known, and none forks while
/// they are ended. However many they are, one descriptor is open at a time.
pub(super) fn stop_all(mut find: impl FnMut() -> Vec<Kin>) -> Vec<Identity> {
    let mut stopped = BTreeSet::new();
    let mut quiet = 0;
    for _ in 0..STOP_LOOKS {
        let found = find().into_iter().filter(|kin| !stopped.contains(&kin.identity)).collect::<Vec<_>>();
        // A look goes through the pids and may miss one that has just moved to another; hardly twice.
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        if quiet == 2 {
            break;
        }
        for handle in found.iter().filter_map(|kin| handle(kin.identity)) {
            send(&handle, Signal::Stop);
            stopped.insert(handle.identity());
        }
    }
    stopped.into_iter().collect()
}

pub(super) fn kill_all(processes: &[Identity]) {
    processes.iter().filter_map(|process| handle(*process)).for_each(|handle| send(&handle, Signal::Kill));
}

/// One that has ended meanwhile needs no signal; one that may not be signalled is seen to live.
fn send(handle: &PidFd, signal: Signal) {
    handle.signal(signal).ok();
}

/// Repeats a round until it finds none that lives; tells who lives on after [`KILL_WITHIN`].
pub(super) fn kill_blocking(mut round: impl FnMut() -> Vec<Identity>) -> Vec<Identity> {
    let began_ms = clock::monotonic_ms();
    let bound_ms = u64::try_from(KILL_WITHIN.as_millis()).unwrap_or(u64::MAX);
    loop {
        let alive = round();
        let Some(first) = alive.first() else { return Vec::new() };
        if clock::monotonic_ms().saturating_sub(began_ms) >= bound_ms {
            return alive;
        }
        match PidFd::open_unchecked(*first) {
            Ok(first) => first.wait(LOOK_AGAIN),
            Err(PidFdError::Gone(_)) => {}
            Err(PidFdError::Open { .. }) => pause(LOOK_AGAIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::task::{Context, Waker};

    use super::*;
    use crate::spawn::{Child, Detached, detached};

    fn sleep() -> Child {
        let null = || File::options().read(true).write(true).open("/dev/null").unwrap();
        let (program, args) = (Path::new("/bin/sleep"), &["600".into()]);
        let (stdin, stdout, stderr) = (null(), null(), null());
        detached(Detached { program, args, stdin, stdout, stderr, cwd: Path::new("/"), env: &[] }).unwrap()
    }

    #[tokio::test]
    async fn a_round_that_was_given_up_before_it_began_ends_nobody_and_blocks_no_task() {
        let mut child = sleep();
        let reach = Arc::new(Reach::new(Group::default(), "a mark".to_owned(), child.identity()));
        // As if another round took long.
        let other = reach.used();
        let mut round = None;
        let mut kill = Box::pin(reach.kill(&mut round));
        assert!(kill.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(kill);
        drop(round);
        drop(other);
        assert_eq!(reach.kill_once(|| false), []);
        child.pidfd().signal(Signal::Term).unwrap();
        assert_eq!(child.exited().await.signal, Some(15));
    }

    #[tokio::test]
    async fn what_is_found_late_is_stopped_too() {
        let mut children = [sleep(), sleep()];
        let kins = children.each_ref().map(|child| Kin::of(child.identity().pid).unwrap());
        let mut looks = 0;
        let stopped = stop_all(|| {
            looks += 1;
            kins.into_iter().take(looks / 2).collect()
        });
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
        kill_all(&expected);
        for child in &mut children {
            assert_eq!(child.exited().await.signal, Some(9));
        }
        assert_eq!(stopped, expected);
        assert!(stand_still);
    }
}
