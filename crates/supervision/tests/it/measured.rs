//! What is measured of every component that moves messages, without hand-work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use nkudo_metrics_core::{MetricKind, Registry};
use nkudo_supervision::{Check, ComponentError, ComponentSpec, Health, Operation, metrics};
use tokio::sync::Mutex;

use crate::supervisor;

/// The samples of a component, by name and labels other than the component.
fn samples(registry: &Registry, component: &str) -> BTreeMap<String, f64> {
    let of_component = registry.snapshot().into_iter().filter(|sample| sample.labels[0].1 == component);
    let key = |name: String, labels: &[(String, String)]| {
        let rest: Vec<&str> = labels[1..].iter().map(|(_, value)| value.as_str()).collect();
        if rest.is_empty() { name } else { format!("{name} {}", rest.join(" ")) }
    };
    of_component.map(|sample| (key(sample.name, &sample.labels), sample.value)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_component_that_moves_messages_has_at_least_fifty_metrics() {
    let (registry, supervisor) = supervisor();
    let (sender, receiver) = supervisor.mailbox::<[u8; 100]>("worker", 2);
    let receiver = Arc::new(Mutex::new(receiver));
    let own = Check::new("answers", Duration::from_secs(1), || async { Ok(()) });
    supervisor.start(ComponentSpec::new("worker").with_check(own), move |context| {
        let receiver = Arc::clone(&receiver);
        async move {
            let mut receiver = receiver.lock().await;
            while let Some([first, ..]) = receiver.recv().await {
                tokio::time::sleep(Duration::from_millis(40)).await;
                context.health.progress();
                context.operations.ended(Operation::FileWrite, 7, Duration::from_millis(3), first != 9);
                if first == 9 {
                    context.health.error("nine");
                    context.health.set(Health::Degraded("nine".to_owned()));
                    return Err(ComponentError::from(std::io::Error::other("nine")));
                }
            }
            context.shutdown.cancelled().await;
            Ok(())
        }
    });
    for first in [1, 2, 3, 9, 4] {
        sender.send([first; 100]).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(sender);
    tokio::time::sleep(Duration::from_secs(1)).await;

    let found = samples(&registry, "worker");
    let descs = metrics::descs("app_");
    let names: BTreeSet<&str> = descs.iter().map(|desc| desc.name.as_ref()).collect();
    let shown = names.iter().filter(|name| {
        let of = |key: &str| {
            let bare = key.split(' ').next().unwrap_or_default();
            bare == **name || bare == format!("{name}_count")
        };
        found.keys().any(|key| of(key))
    });
    let shown = shown.count();
    assert!(shown >= 50, "{shown} of {}", names.len());
    let histograms = descs.iter().filter(|desc| desc.kind == MetricKind::Histogram).count();
    assert!(histograms <= 4, "{histograms}");

    let check = |name: &str, expected: f64| {
        let value = found[&format!("app_component_{name}")];
        assert!((value - expected).abs() < 0.05, "{name}: {value} instead of {expected}");
    };
    check("messages_sent_total", 5.0);
    check("messages_received_total", 5.0);
    check("messages_processed_total", 4.0);
    check("messages_abandoned_total", 1.0);
    check("messages_in_hand", 0.0);
    check("send_waits_total", 3.0);
    check("mailbox_depth_max", 2.0);
    check("mailbox_bytes", 0.0);
    check("mailbox_senders", 0.0);
    check("routing_latency_seconds_count", 4.0);
    check("operations_total file_write", 5.0);
    check("operation_errors_total file_write", 1.0);
    check("operation_bytes_total file_write", 35.0);
    check("operation_seconds_total file_write", 0.015);
    check("progress_total", 5.0);
    check("failures_total", 1.0);
    check("starts_total", 2.0);
    check("running", 1.0);
    check("health_changes_total degraded", 1.0);
    check("errors_total nine", 1.0);
    check("given_up_total", 0.0);
    // All of the six seconds and some, save the wait for the restart, to which chance adds.
    check("idle_seconds_total", 5.96);
    for positive in ["polls_total", "wakes_total", "memory_bytes", "checks_total", "own_checks_total"] {
        assert!(found[&format!("app_component_{positive}")] > 0.0, "{positive}");
    }
}

/// What was other than zero at some time, by the name of the metric.
#[derive(Default)]
struct Written(BTreeSet<String>);

impl Written {
    fn look(&mut self, registry: &Registry) {
        let written = registry.snapshot().into_iter().filter(|sample| sample.value != 0.0);
        self.0.extend(written.map(|sample| {
            let base = ["_count", "_sum", "_bucket"].iter().find_map(|end| sample.name.strip_suffix(end));
            base.map_or(sample.name.clone(), str::to_owned)
        }));
    }
}

#[tokio::test(start_paused = true)]
async fn each_metric_is_written_by_something() {
    let (registry, supervisor) = supervisor();
    let mut written = Written::default();
    // One that takes too little, fails, and is given up; asked by a check that hangs, and by one that fails.
    let (sender, receiver) = supervisor.mailbox::<u64>("worker", 2);
    let receiver = Arc::new(Mutex::new(receiver));
    let hangs = Check::new("hangs", Duration::from_secs(3), std::future::pending);
    let fails = Check::new("fails", Duration::from_secs(3), || async { Err("always".to_owned()) });
    let spec = ComponentSpec::new("worker").with_check(hangs).with_check(fails);
    supervisor.start(spec, move |context| {
        let receiver = Arc::clone(&receiver);
        async move {
            let mut receiver = receiver.lock().await;
            while let Some(message) = receiver.recv().await {
                context.health.progress();
                context.operations.ended(Operation::FileRead, message, Duration::from_millis(1), false);
                context.health.error("message");
                // It holds up its worker, and then leaves its mailbox alone.
                tokio::time::advance(Duration::from_millis(20)).await;
                tokio::time::sleep(Duration::from_secs(15)).await;
                if message > 1 {
                    return Err(ComponentError::from(std::io::Error::other("two")));
                }
            }
            Ok(())
        }
    });
    tokio::task::yield_now().await;
    sender.send(1).await.unwrap();
    // Woken, and not run at once.
    tokio::time::advance(Duration::from_millis(7)).await;
    for message in 2..4 {
        sender.send(message).await.unwrap();
    }
    assert!(sender.try_send(9).is_err(), "it is full");
    for message in 4..9 {
        written.look(&registry);
        if tokio::time::timeout(Duration::from_secs(60), sender.send(message)).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(11)).await;
        written.look(&registry);
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    written.look(&registry);
    // One that is given up, the end of all, and a mailbox whose reader is gone.
    supervisor.start(ComponentSpec::new("hopeless"), |_| async {
        Err(ComponentError::hopeless(std::io::Error::other("no hope")))
    });
    supervisor.start(ComponentSpec::new("server"), crate::serve);
    tokio::time::sleep(Duration::from_secs(2)).await;
    written.look(&registry);
    supervisor.shutdown(Duration::from_secs(1)).await;
    let (closed, reader) = supervisor.mailbox::<u64>("closed", 1);
    drop(reader);
    assert!(closed.try_send(1).is_err());
    written.look(&registry);
    let all: BTreeSet<String> = metrics::descs("app_").iter().map(|desc| desc.name.to_string()).collect();
    let never: Vec<&String> = all.difference(&written.0).collect();
    assert_eq!(never, Vec::<&String>::new());
}
