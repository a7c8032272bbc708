//! The registry's samples in the shape of the contract.

use std::collections::BTreeMap;

use nkudo_api::view::SampleView;
use nkudo_metrics_core::Registry;

/// Every sample as it would be exposed now, in the order of the exposition.
pub(crate) fn views(registry: &Registry) -> Vec<SampleView> {
    registry
        .snapshot()
        .into_iter()
        .map(|sample| SampleView {
            name: sample.name,
            labels: sample.labels.into_iter().collect::<BTreeMap<String, String>>(),
            value: sample.value.is_finite().then_some(sample.value),
        })
        .collect()
}
