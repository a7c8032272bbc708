//! The starts, ends and checks of a component.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::traffic::nanos;

/// Over all runs of a component.
#[derive(Debug)]
pub(crate) struct LifeStats {
    made: Instant,
    running: AtomicBool,
    /// In nanoseconds after `made`; 0 while there was none.
    started_ns: AtomicU64,
    failed_ns: AtomicU64,
    failures: AtomicU64,
    delayed_ns: AtomicU64,
    given_up: AtomicU64,
    stops: AtomicU64,
    checks: AtomicU64,
    findings: AtomicU64,
    own_checks: AtomicU64,
    own_failures: AtomicU64,
}

impl LifeStats {
    pub(crate) fn new() -> Self {
        let zero = AtomicU64::default;
        Self {
            made: Instant::now(),
            running: AtomicBool::new(false),
            started_ns: zero(),
            failed_ns: zero(),
            failures: zero(),
            delayed_ns: zero(),
            given_up: zero(),
            stops: zero(),
            checks: zero(),
            findings: zero(),
            own_checks: zero(),
            own_failures: zero(),
        }
    }

    fn now_ns(&self) -> u64 {
        nanos(self.made.elapsed()).max(1)
    }

    pub(crate) fn started(&self) {
        self.started_ns.store(self.now_ns(), Ordering::Relaxed);
        self.running.store(true, Ordering::Relaxed);
    }

    /// It ended because it was to.
    pub(crate) fn stopped(&self) {
        self.running.store(false, Ordering::Relaxed);
        self.stops.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.running.store(false, Ordering::Relaxed);
        self.failed_ns.store(self.now_ns(), Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn delayed(&self, delay: Duration) {
        self.delayed_ns.fetch_add(nanos(delay), Ordering::Relaxed);
    }

    pub(crate) fn given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn checked(&self, found: bool) {
        self.checks.fetch_add(1, Ordering::Relaxed);
        self.findings.fetch_add(u64::from(found), Ordering::Relaxed);
    }

    pub(crate) fn own_checked(&self, failed: bool) {
        self.own_checks.fetch_add(1, Ordering::Relaxed);
        self.own_failures.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    /// `progress` and `progress_ago` are the pulse's, `own_open` are checks that were asked and not answered.
    pub(crate) fn read(&self, progress: u64, progress_ago: Duration, own_open: u64) -> LifeReading {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let now_ns = self.now_ns();
        let ago = |cell: &AtomicU64| {
            let at_ns = Some(load(cell)).filter(|at_ns| *at_ns > 0)?;
            Some(Duration::from_nanos(now_ns.saturating_sub(at_ns)))
        };
        LifeReading {
            running: self.running.load(Ordering::Relaxed),
            started_ago: ago(&self.started_ns),
            failed_ago: ago(&self.failed_ns),
            failures: load(&self.failures),
            delayed: Duration::from_nanos(load(&self.delayed_ns)),
            given_up: load(&self.given_up),
            stops: load(&self.stops),
            progress,
            progress_ago,
            checks: load(&self.checks),
            findings: load(&self.findings),
            own_checks: load(&self.own_checks),
            own_failures: load(&self.own_failures),
            own_open,
        }
    }
}

/// [`LifeStats`] as they are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LifeReading {
    pub(crate) running: bool,
    pub(crate) started_ago: Option<Duration>,
    pub(crate) failed_ago: Option<Duration>,
    pub(crate) failures: u64,
    pub(crate) delayed: Duration,
    pub(crate) given_up: u64,
    pub(crate) stops: u64,
    pub(crate) progress: u64,
    pub(crate) progress_ago: Duration,
    pub(crate) checks: u64,
    pub(crate) findings: u64,
    pub(crate) own_checks: u64,
    pub(crate) own_failures: u64,
    pub(crate) own_open: u64,
}
