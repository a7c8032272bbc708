//! The agent's health.

use nkudo_metrics_core::{Desc, Gauge, Registry, label_set};

const STATES: [&str; 3] = ["healthy", "degraded", "unhealthy"];

const STATUS: Desc =
    Desc::gauge("nkudo_agent_health_status", "1 for the agent's current health, 0 for the others.")
        .labels(&["health"]);

pub(crate) fn descs() -> Vec<Desc> {
    vec![STATUS]
}

label_set! {
    struct ByHealth { health: &'static str }
}

#[derive(Debug, Clone)]
pub(crate) struct Health {
    /// In the order of [`STATES`].
    states: [Gauge; STATES.len()],
}

impl Health {
    pub(crate) fn register(registry: &Registry) -> Self {
        let family = registry.gauge_family(&STATUS);
        Self { states: STATES.map(|health| family.get(&ByHealth { health })) }
    }

    pub(crate) fn set(&self, health: &str) {
        debug_assert!(STATES.contains(&health), "{health} is not a state of health");
        for (state, gauge) in STATES.iter().zip(&self.states) {
            gauge.set(if *state == health { 1.0 } else { 0.0 });
        }
    }
}
