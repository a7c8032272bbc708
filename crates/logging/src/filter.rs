//! Which lines are logged, and how that changes at run time.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;
use tracing::Metadata;

use crate::config::LogConfig;
use crate::level::LogLevel;

/// The levels in force.
#[derive(Debug)]
pub(crate) struct Filter {
    target_prefix: &'static str,
    levels: ArcSwap<Levels>,
}

#[derive(Debug, Clone)]
pub(crate) struct Levels {
    pub(crate) level: LogLevel,
    pub(crate) components: BTreeMap<String, LogLevel>,
}

impl Filter {
    pub(crate) fn new(config: &LogConfig) -> Self {
        let levels = Levels { level: config.level, components: config.components.clone() };
        Self { target_prefix: config.target_prefix, levels: ArcSwap::from_pointee(levels) }
    }

    pub(crate) fn levels(&self) -> Levels {
        Levels::clone(&self.levels.load())
    }

    /// Changes the levels; every call site is asked again whether it is enabled.
    pub(crate) fn change(&self, change: impl Fn(&mut Levels)) {
        self.levels.rcu(|levels| {
            let mut levels = Levels::clone(levels);
            change(&mut levels);
            levels
        });
        tracing::callsite::rebuild_interest_cache();
    }

    /// The part that a target belongs to: its first segment without the prefix, `-` for `_`.
    pub(crate) fn component(&self, target: &str) -> String {
        let first = target.split("::").next().unwrap_or(target);
        first.strip_prefix(self.target_prefix).unwrap_or(first).replace('_', "-")
    }

    /// Whether a call site is logged. Spans are always kept, for their ids.
    pub(crate) fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            return true;
        }
        let levels = self.levels.load();
        let component = levels.components.get(&self.component(metadata.target()));
        LogLevel::of(*metadata.level()) >= *component.unwrap_or(&levels.level)
    }
}
