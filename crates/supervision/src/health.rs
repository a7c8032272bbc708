//! How components do, and how that changed.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::{ByCause, ByHealth, Metrics};
use crate::watch::Pulse;

/// Changes of health that are remembered.
const HISTORY_MAX: usize = 1_000;

/// How a part does, and why when not well. Ordered from well to badly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    Healthy,
    /// It works, with something missing.
    Degraded(String),
    /// It does not do its work.
    Unhealthy(String),
}

impl Health {
    /// The words of every state.
    pub const STATES: [&'static str; 3] = ["healthy", "degraded", "unhealthy"];

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded(_) => "degraded",
            Self::Unhealthy(_) => "unhealthy",
        }
    }

    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Healthy => None,
            Self::Degraded(reason) | Self::Unhealthy(reason) => Some(reason),
        }
    }

    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }

    pub fn is_unhealthy(&self) -> bool {
        matches!(self, Self::Unhealthy(_))
    }
}

/// How all parts do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The worst of the components' states, with the component's name in its reason.
    pub overall: Health,
    /// In the order of their start.
    pub components: Vec<ComponentReport>,
}

/// How one component does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentReport {
    pub name: &'static str,
    pub health: Health,
    /// Unix time in milliseconds since when it does so.
    pub since_ms: i64,
    pub restarts: u64,
}

/// A change of a component's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthChange {
    /// Unix time in milliseconds.
    pub at_ms: i64,
    pub component: &'static str,
    pub health: Health,
}

/// What is known of every component.
#[derive(Debug)]
pub(crate) struct Board {
    clock: fn() -> i64,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    components: Vec<Entry>,
    history: VecDeque<HealthChange>,
}

#[derive(Debug)]
struct Entry {
    name: &'static str,
    /// What the component says of itself.
    own: Health,
    /// What the checks found.
    checked: Health,
    shown: Health,
    since_ms: i64,
    restarts: u64,
}

impl Board {
    pub(crate) fn new(clock: fn() -> i64, metrics: Metrics) -> Self {
        Self { clock, metrics, state: Mutex::default() }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A component starts; one that was there before starts over.
    pub(crate) fn add(&self, name: &'static str) {
        let since_ms = (self.clock)();
        let (own, checked, shown) = (Health::Healthy, Health::Healthy, Health::Healthy);
        let entry = Entry { name, own, checked, shown, since_ms, restarts: 0 };
        self.with(|state| {
            state.components.retain(|entry| entry.name != name);
            state.components.push(entry);
            self.show(name, &Health::Healthy);
        });
    }

    fn show(&self, name: &'static str, health: &Health) {
        for state in Health::STATES {
            let value = if state == health.as_str() { 1.0 } else { 0.0 };
            self.metrics.health.get(&ByHealth { component: name, health: state }).set(value);
        }
    }

    fn change(&self, name: &'static str, change: impl FnOnce(&mut Entry)) {
        let at_ms = (self.clock)();
        let shown = self.with(|state| {
            let entry = state.components.iter_mut().find(|entry| entry.name == name)?;
            change(entry);
            let health = entry.own.clone().max(entry.checked.clone());
            if health == entry.shown {
                return None;
            }
            if health.as_str() != entry.shown.as_str() {
                entry.since_ms = at_ms;
            }
            entry.shown = health.clone();
            state.history.push_back(HealthChange { at_ms, component: name, health: health.clone() });
            if state.history.len() > HISTORY_MAX {
                state.history.pop_front();
            }
            self.metrics.health_changes.get(&ByHealth { component: name, health: health.as_str() }).inc();
            // Still under the lock, so that of two changes the later is shown.
            self.show(name, &health);
            Some(health)
        });
        match &shown {
            None => {}
            Some(Health::Healthy) => tracing::info!(part = name, health = "healthy", "health changed"),
            Some(health @ (Health::Degraded(reason) | Health::Unhealthy(reason))) => {
                tracing::warn!(part = name, health = health.as_str(), reason, "health changed");
            }
        }
    }

    pub(crate) fn set_own(&self, name: &'static str, health: Health) {
        self.change(name, |entry| entry.own = health);
    }

    pub(crate) fn set_checked(&self, name: &'static str, health: Health) {
        self.change(name, |entry| entry.checked = health);
    }

    pub(crate) fn restarted(&self, name: &'static str) {
        self.change(name, |entry| entry.restarts += 1);
    }

    pub(crate) fn report(&self) -> Report {
        self.with(|state| {
            let worst = state.components.iter().max_by(|a, b| a.shown.cmp(&b.shown));
            let overall = match worst.map(|entry| (entry.name, &entry.shown)) {
                None | Some((_, Health::Healthy)) => Health::Healthy,
                Some((name, Health::Degraded(reason))) => Health::Degraded(format!("{name}: {reason}")),
                Some((name, Health::Unhealthy(reason))) => Health::Unhealthy(format!("{name}: {reason}")),
            };
            let report = |entry: &Entry| ComponentReport {
                name: entry.name,
                health: entry.shown.clone(),
                since_ms: entry.since_ms,
                restarts: entry.restarts,
            };
            Report { overall, components: state.components.iter().map(report).collect() }
        })
    }

    pub(crate) fn history(&self, since_ms: i64) -> Vec<HealthChange> {
        self.with(|state| state.history.iter().filter(|change| change.at_ms >= since_ms).cloned().collect())
    }
}

/// With which a component tells how it does.
#[derive(Debug, Clone)]
pub struct HealthReporter {
    pub(crate) name: &'static str,
    pub(crate) board: Arc<Board>,
    pub(crate) pulse: Arc<Pulse>,
}

impl HealthReporter {
    /// What the component says of itself from now on. The checks of the supervisor may find worse.
    pub fn set(&self, health: Health) {
        self.board.set_own(self.name, health);
    }

    /// Tells that work goes on, for components that said within which time it must. Takes no lock.
    pub fn progress(&self) {
        self.pulse.told();
    }

    /// Counts something that went wrong, by its cause: one of a few words. Many within a minute degrade the component.
    pub fn error(&self, cause: &'static str) {
        self.pulse.errors.fetch_add(1, Ordering::Relaxed);
        self.board.metrics.errors.get(&ByCause { component: self.name, cause }).inc();
    }
}
