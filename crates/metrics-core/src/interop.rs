//! Our cells in prometheus-client's registry: other crates that speak its traits can expose them.

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::cell::{Counter, FloatCounter, Gauge, Histogram};
use crate::hot::{HotCounter, HotHistogram};

macro_rules! counters {
    ($($cell:ty),+) => {
        $(impl TypedMetric for $cell {
            const TYPE: MetricType = MetricType::Counter;
        }

        impl EncodeMetric for $cell {
            fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
                encoder.encode_counter::<NoLabelSet, _, u64>(&self.get(), None)
            }

            fn metric_type(&self) -> MetricType {
                Self::TYPE
            }
        })+
    };
}

counters!(Counter, FloatCounter, HotCounter);

impl TypedMetric for Gauge {
    const TYPE: MetricType = MetricType::Gauge;
}

impl EncodeMetric for Gauge {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.encode_gauge(&self.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

macro_rules! histograms {
    ($($cell:ty),+) => {
        $(impl TypedMetric for $cell {
            const TYPE: MetricType = MetricType::Histogram;
        }

        impl EncodeMetric for $cell {
            fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
                histogram(encoder, &self.cumulative(), self.sum())
            }

            fn metric_type(&self) -> MetricType {
                Self::TYPE
            }
        })+
    };
}

histograms!(Histogram, HotHistogram);

/// Their encoder takes what is in each bucket, not what is up to it.
fn histogram(
    mut encoder: MetricEncoder<'_>,
    cumulative: &[(f64, u64)],
    sum: f64,
) -> Result<(), std::fmt::Error> {
    let mut before = 0;
    let own = |&(bound, total): &(f64, u64)| {
        let own = total - before;
        before = total;
        (bound, own)
    };
    let buckets: Vec<(f64, u64)> = cumulative.iter().map(own).collect();
    encoder.encode_histogram::<NoLabelSet>(sum, before, &buckets, None)
}
