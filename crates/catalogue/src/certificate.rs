//! The agent's certificate.

use nkudo_metrics_core::{Desc, Family, Gauge, NoLabels, Registry};

const EXPIRY: Desc = Desc::gauge(
    "nkudo_agent_certificate_expiry_timestamp",
    "When the agent's certificate expires, in seconds since the Unix epoch; no sample while there is none.",
);

pub(crate) fn descs() -> Vec<Desc> {
    vec![EXPIRY]
}

#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    expiry: Family<NoLabels, Gauge>,
}

impl Certificate {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self { expiry: registry.gauge_family(&EXPIRY) }
    }

    pub(crate) fn expiry(&self, unix_seconds: Option<i64>) {
        match unix_seconds {
            Some(seconds) => self.expiry.get(&NoLabels).set(seconds as f64),
            None => {
                self.expiry.remove(&NoLabels);
            }
        }
    }
}
