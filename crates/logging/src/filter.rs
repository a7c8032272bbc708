//! Which lines are logged, and how that changes at run time.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;
use tracing::Metadata;
use tracing::metadata::LevelFilter;

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
        self.part(target).replace('_', "-")
    }

    /// The same with the underscores that it has in the code.
    fn part<'t>(&self, target: &'t str) -> &'t str {
        let first = target.split("::").next().unwrap_or(target);
        first.strip_prefix(self.target_prefix).unwrap_or(first)
    }

    /// The least severe level at which anything is logged.
    pub(crate) fn max_level(&self) -> LevelFilter {
        let levels = self.levels.load();
        let lowest = levels.components.values().copied().chain([levels.level]).min();
        match lowest {
            // Tracing's TRACE is debug here.
            Some(LogLevel::Debug) | None => LevelFilter::TRACE,
            Some(LogLevel::Info) => LevelFilter::INFO,
            Some(LogLevel::Warn) => LevelFilter::WARN,
            Some(LogLevel::Error) => LevelFilter::ERROR,
        }
    }

    /// Whether a call site is logged. It is asked at each error, so it allocates nothing.
    pub(crate) fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let levels = self.levels.load();
        let part = self.part(metadata.target());
        let is_it = |component: &str| {
            component.bytes().eq(part.bytes().map(|byte| if byte == b'_' { b'-' } else { byte }))
        };
        let own = levels.components.iter().find_map(|(component, level)| is_it(component).then_some(*level));
        LogLevel::of(*metadata.level()) >= own.unwrap_or(levels.level)
    }
}
