//! SIGHUP: the configuration is read again; what can change live does.

use nkudo_logging::LogHandle;
use tokio::sync::watch;

use crate::audit::Audit;
use crate::config::{Settings, Sources};

/// The settings in force, for those who follow changes.
pub(crate) struct Reloader {
    pub(crate) sources: Sources,
    pub(crate) log: LogHandle,
    pub(crate) settings: watch::Sender<Settings>,
    pub(crate) audit: Audit,
}

impl Reloader {
    /// Reads the configuration again. A bad file changes nothing.
    pub(crate) async fn reload(&self) {
        let new = match self.sources.load() {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(%error, "configuration not reloaded; the running one stays");
                self.audit.reloaded(Err(error.to_string())).await;
                return;
            }
        };
        let old = self.settings.borrow().clone();
        let changes = old.changes(&new);
        for key in &changes.restart {
            tracing::warn!(key, "configuration key changed; it takes effect at the next start");
        }
        set_log_levels(&self.log, &old, &new);
        self.settings.send_replace(old.with_live_from(&new));
        let changed = changes.live.join(",");
        tracing::info!(changed, "configuration reloaded");
        self.audit.reloaded(Ok(changed)).await;
    }
}

/// Sets what differs; a level that was set at run time stays unless the file changed it.
fn set_log_levels(log: &LogHandle, old: &Settings, new: &Settings) {
    if old.log_level != new.log_level {
        log.set_level(new.log_level);
    }
    for component in old.log_components.keys().filter(|name| !new.log_components.contains_key(*name)) {
        log.set_component_level(component, None);
    }
    for (component, level) in &new.log_components {
        log.set_component_level(component, Some(*level));
    }
}
