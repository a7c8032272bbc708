//! A directory with a log, and looking into it.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nkudo_audit::{Head, PublicKey, Record, Report, newest_first, verify};
use nkudo_journal::RealDisk;
use nkudo_scribe::{Entry, Options, Place, Scribe, ScribeMetrics};

/// What the writer's clock says, in milliseconds.
pub(crate) const NOW_MS: i64 = 1_769_853_600_000;
/// How long a state is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millisecond(NOW_MS).expect("it works")
}

pub(crate) fn start(dir: &Path, options: Options) -> Scribe {
    Scribe::start(Place::within(dir), options, ScribeMetrics::default(), || NOW_MS).expect("it works")
}

pub(crate) fn entry(number: u64) -> Entry<'static> {
    Entry::new(now(), "orders", "order.cancel", "alice", "succeeded").field("number", number)
}

/// The entries of the log, the oldest first.
pub(crate) fn records(dir: &Path) -> Vec<Record> {
    let mut records = Vec::new();
    newest_first(&RealDisk, &Place::within(dir).log, |record| {
        records.push(record);
        ControlFlow::Continue(())
    })
    .expect("it works");
    records.reverse();
    records
}

/// The numbers of the entries of the tests.
pub(crate) fn numbers(dir: &Path) -> Vec<u64> {
    records(dir).iter().filter_map(|record| record.fields.get("number")?.as_u64()).collect()
}

/// What the writer wrote of itself: operation and outcome.
pub(crate) fn own(dir: &Path) -> Vec<(String, String)> {
    let own = records(dir).into_iter().filter(|record| record.component == "audit");
    own.map(|record| (record.operation, record.outcome)).collect()
}

pub(crate) fn verified(dir: &Path, head: Option<Head>) -> Report {
    let place = Place::within(dir);
    let key = PublicKey::read(&RealDisk, &place.public_key()).expect("it works");
    verify(&RealDisk, &place.log, &key, head).expect("it works")
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
