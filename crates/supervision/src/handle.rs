//! The grip on one component that was started.

use std::time::Duration;

use crate::health::ComponentReport;
use crate::supervisor::Supervisor;

/// A component that was started. It runs on when this is dropped.
#[derive(Debug, Clone)]
pub struct ComponentHandle {
    pub(crate) name: &'static str,
    pub(crate) supervisor: Supervisor,
}

impl ComponentHandle {
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How the component does; none once it was stopped.
    pub fn report(&self) -> Option<ComponentReport> {
        self.supervisor.health().components.into_iter().find(|component| component.name == self.name)
    }

    /// Ends the component of this name alone; another of its name may then start. Answers whether it ended within the
    /// deadline; else it was dropped.
    pub async fn stop(&self, deadline: Duration) -> bool {
        self.supervisor.stop(self.name, deadline).await
    }
}
