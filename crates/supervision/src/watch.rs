//! The checks that every component gets: is its mailbox stuck or full, do its errors pile up, does its work go on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::check::{Check, Finding, Standing};
use crate::health::Health;
use crate::life::LifeStats;
use crate::mailbox::Progress;
use crate::metrics::Reading;
use crate::task::TaskStats;
use crate::traffic::Traffic;

/// How often the checks are made.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A mailbox from which nothing was taken for this long while messages wait is stuck; one that was full at every check
/// for this long gets more than its component can do.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// Checks over which errors are counted: a minute of them.
const ERROR_WINDOW_CHECKS: usize = 60;
/// Fewer errors within the window are no matter.
const ERRORS_MIN: u64 = 10;

/// What a component tells without a lock: that it goes on, and what went wrong.
#[derive(Debug)]
pub(crate) struct Pulse {
    made: Instant,
    /// When work last went on, in milliseconds after `made`.
    progress_ms: AtomicU64,
    progressed: AtomicU64,
    pub(crate) errors: AtomicU64,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self {
            made: Instant::now(),
            progress_ms: AtomicU64::new(0),
            progressed: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }

    /// The component told that it goes on.
    pub(crate) fn told(&self) {
        self.progressed.fetch_add(1, Ordering::Relaxed);
        self.progress();
    }

    /// Work goes on from here.
    pub(crate) fn progress(&self) {
        let now_ms = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.progress_ms.store(now_ms, Ordering::Relaxed);
    }

    fn idle_for(&self, now: Instant) -> Duration {
        let at = Duration::from_millis(self.progress_ms.load(Ordering::Relaxed));
        now.duration_since(self.made).saturating_sub(at)
    }
}

/// What is checked of one component.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) name: &'static str,
    /// Once it has a mailbox.
    traffic: Option<Arc<Traffic>>,
    /// Once it was started.
    stats: Option<Stats>,
    pub(crate) mailboxes: Vec<WatchedMailbox>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) progress_within: Option<Duration>,
    own: Vec<OwnCheck>,
    standing: Standing,
    /// Errors and messages taken so far, as of each check of the window.
    counts: VecDeque<(u64, u64)>,
}

/// What is measured of a component over all its runs.
#[derive(Debug, Clone)]
pub(crate) struct Stats {
    pub(crate) life: Arc<LifeStats>,
    pub(crate) task: Arc<TaskStats>,
}

impl Stats {
    fn new() -> Self {
        Self { life: Arc::new(LifeStats::new()), task: Arc::new(TaskStats::new()) }
    }
}

/// A check that the component brought along.
#[derive(Debug)]
struct OwnCheck {
    check: Check,
    standing: Standing,
    /// The task that asks now.
    asking: Option<Id>,
}

/// What is remembered of one mailbox between checks.
#[derive(Debug)]
pub(crate) struct WatchedMailbox {
    pub(crate) progress: Arc<Progress>,
    capacity: u64,
    taken: u64,
    moved_at: Instant,
    had_room_at: Instant,
}

impl WatchedMailbox {
    pub(crate) fn new(progress: Arc<Progress>, capacity: usize) -> Self {
        let now = Instant::now();
        let capacity = u64::try_from(capacity).unwrap_or(u64::MAX);
        Self { progress, capacity, taken: 0, moved_at: now, had_room_at: now }
    }

    fn look(&mut self, now: Instant) -> Option<Finding> {
        let taken = self.progress.taken.load(Ordering::Relaxed);
        let waiting = self.progress.sent.load(Ordering::Relaxed).saturating_sub(taken);
        if taken != self.taken || waiting == 0 {
            self.taken = taken;
            self.moved_at = now;
        }
        if waiting < self.capacity {
            self.had_room_at = now;
        }
        let finding = |reason: &str, works| Some(Finding { reason: reason.to_owned(), works });
        if now.duration_since(self.moved_at) >= STUCK_AFTER {
            finding("messages wait and none is taken", false)
        } else if now.duration_since(self.had_room_at) >= STUCK_AFTER {
            finding("the mailbox stays full", true)
        } else {
            None
        }
    }
}

impl Watched {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            traffic: None,
            stats: None,
            mailboxes: Vec::new(),
            pulse: Arc::new(Pulse::new()),
            progress_within: None,
            own: Vec::new(),
            standing: Standing::new(),
            counts: VecDeque::new(),
        }
    }

    /// The traffic of all mailboxes of this component.
    pub(crate) fn traffic(&mut self) -> Arc<Traffic> {
        Arc::clone(self.traffic.get_or_insert_with(|| Arc::new(Traffic::new())))
    }

    /// What is measured of the component over all its runs.
    pub(crate) fn stats(&mut self) -> Stats {
        self.stats.get_or_insert_with(Stats::new).clone()
    }

    /// The component as it is now; `now` is the wall clock in seconds.
    pub(crate) fn read(&self, now: f64) -> Reading {
        let traffic = self.traffic.as_ref().map(|traffic| traffic.read());
        let own_open = self.own.iter().filter(|own| own.asking.is_some()).count() as u64;
        let life = self.stats.as_ref().map(|stats| {
            let (told, idle) =
                (self.pulse.progressed.load(Ordering::Relaxed), self.pulse.idle_for(Instant::now()));
            (stats.life.read(told, idle, own_open), stats.task.read())
        });
        Reading { name: self.name, traffic, life, now }
    }

    /// The component starts: what was checked before is forgotten, its mailboxes stay.
    pub(crate) fn begin(&mut self, progress_within: Option<Duration>, checks: Vec<Check>) {
        self.pulse.progress();
        self.progress_within = progress_within;
        let own = |check| OwnCheck { check, standing: Standing::new(), asking: None };
        self.own = checks.into_iter().map(own).collect();
        self.standing = Standing::new();
        self.counts.clear();
    }

    /// The component failed: what it was handling is not handled.
    pub(crate) fn interrupted(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.progress.interrupted());
        self.pulse.progress();
    }

    /// Makes the checks that every component gets, and asks those of its own that are not being asked.
    pub(crate) fn check(&mut self, now: Instant, asking: &mut JoinSet<Result<(), String>>) {
        // A mailbox with neither end is gone.
        self.mailboxes.retain(|mailbox| Arc::strong_count(&mailbox.progress) > 1);
        let found = self.find(now);
        if let Some(stats) = &self.stats {
            stats.life.checked(found.is_some());
        }
        self.standing.note(found);
        for own in self.own.iter_mut().filter(|own| own.asking.is_none()) {
            own.asking = Some(asking.spawn(own.check.clone().answer()).id());
        }
    }

    /// Takes the answer of a check of its own. Answers whether the check is of this component.
    pub(crate) fn answered(&mut self, task: Id, answer: &Result<(), String>) -> bool {
        let Some(own) = self.own.iter_mut().find(|own| own.asking == Some(task)) else { return false };
        own.asking = None;
        let found = answer.as_ref().err();
        if let Some(stats) = &self.stats {
            stats.life.own_checked(found.is_some());
        }
        let name = own.check.name;
        own.standing.note(found.map(|why| Finding { reason: format!("{name}: {why}"), works: false }));
        true
    }

    /// The worst that any check says.
    pub(crate) fn health(&self) -> Health {
        let own = self.own.iter().map(|own| &own.standing.health);
        own.fold(&self.standing.health, |worst, health| worst.max(health)).clone()
    }

    fn find(&mut self, now: Instant) -> Option<Finding> {
        // Each mailbox is looked at, so that each remembers.
        let mailboxes: Vec<Finding> =
            self.mailboxes.iter_mut().filter_map(|mailbox| mailbox.look(now)).collect();
        let idle = self.progress_within.is_some_and(|within| self.pulse.idle_for(now) > within);
        let idle = idle.then(|| Finding { reason: "no progress for too long".to_owned(), works: false });
        let all = mailboxes.into_iter().chain(idle).chain(self.errors());
        all.min_by_key(|finding| finding.works)
    }

    /// Errors that are many, and more than half as many as messages.
    fn errors(&mut self) -> Option<Finding> {
        let taken = self.mailboxes.iter().map(|mailbox| mailbox.progress.taken.load(Ordering::Relaxed)).sum();
        let errors = self.pulse.errors.load(Ordering::Relaxed);
        self.counts.push_back((errors, taken));
        if self.counts.len() > ERROR_WINDOW_CHECKS + 1 {
            self.counts.pop_front();
        }
        let &(errors_before, taken_before) = self.counts.front()?;
        let (errors, taken) = (errors - errors_before, taken.saturating_sub(taken_before));
        let many = errors >= ERRORS_MIN && errors.saturating_mul(2) > taken;
        many.then(|| Finding { reason: format!("{errors} errors in the last minute"), works: true })
    }
}
