//! Work that a component has others do: the file system, the network, processes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nkudo_metrics_core::{Counter, FloatCounter};

use crate::metrics::Metrics;

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    FileRead,
    FileWrite,
    /// Making what was written durable.
    FileSync,
    NetworkReceive,
    NetworkSend,
    ProcessStart,
    ProcessSignal,
}

impl Operation {
    pub const ALL: [Self; 7] = [
        Self::FileRead,
        Self::FileWrite,
        Self::FileSync,
        Self::NetworkReceive,
        Self::NetworkSend,
        Self::ProcessStart,
        Self::ProcessSignal,
    ];

    /// Its label in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FileRead => "file_read",
            Self::FileWrite => "file_write",
            Self::FileSync => "file_sync",
            Self::NetworkReceive => "network_receive",
            Self::NetworkSend => "network_send",
            Self::ProcessStart => "process_start",
            Self::ProcessSignal => "process_signal",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// Counts the operations of one component. Cheap to clone; a kind is shown from its first operation on, and writing to it
/// takes no lock then.
#[derive(Debug, Clone)]
pub struct Operations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    component: &'static str,
    metrics: Metrics,
    kinds: [OnceLock<Cells>; Operation::ALL.len()],
}

#[derive(Debug)]
pub(crate) struct Cells {
    pub(crate) done: Counter,
    pub(crate) errors: Counter,
    pub(crate) bytes: Counter,
    pub(crate) seconds: FloatCounter,
}

impl Operations {
    pub(crate) fn of(component: &'static str, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { component, metrics, kinds: Default::default() }))
    }

    /// An operation has ended: how many bytes it moved (0 of what moves none), how long it took, whether it succeeded.
    pub fn ended(&self, operation: Operation, bytes: u64, took: Duration, succeeded: bool) {
        let Inner { component, metrics, kinds } = self.0.as_ref();
        let cells = kinds[operation.index()].get_or_init(|| metrics.operation(component, operation.as_str()));
        cells.done.inc();
        cells.bytes.inc_by(bytes);
        cells.seconds.inc_by(took.as_secs_f64());
        if !succeeded {
            cells.errors.inc();
        }
    }
}
