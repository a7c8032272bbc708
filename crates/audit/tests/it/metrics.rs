//! What is counted.

use nkudo_audit::{AuditLog, AuditMetrics, Options, descs, register};
use nkudo_metrics_core::{Format, Registry};

use crate::logs::{OPTIONS, at, dir, disk_with_key, entry, key};

fn exposed(registry: &Registry) -> String {
    let mut bytes = Vec::new();
    registry.encode(Format::Text004, &mut bytes);
    String::from_utf8(bytes).expect("text")
}

#[test]
fn every_metric_is_described_and_counts() {
    let registry = Registry::new();
    let metrics = register(&registry, "shop_");
    let disk = disk_with_key();
    let options = Options { log_bytes: 9_000, ..OPTIONS };
    let open = || AuditLog::open(disk.clone(), dir(), options, key(&disk)).expect("it opens").0;
    let mut log = open().count_in(metrics.clone());
    let long = "x".repeat(300);
    let cut = nkudo_audit::Entry::new(at(0), &long, "b", "c", "d");
    log.append(&cut).expect("appended");
    let mut number = 0;
    while log.append(&entry(number)).is_ok() {
        number += 1;
    }
    log.sync().expect("durable");
    log.prune(u64::MAX, at(100)).expect("pruned");
    disk.fail(disk.operations()..disk.operations() + 2);
    log.append(&entry(900)).expect_err("told to fail");
    log.append(&entry(901)).expect_err("poisoned");
    let mut log = open().count_in(metrics.clone());
    log.append(&entry(902)).expect("appended");

    assert_eq!(metrics.entries.get(), number + 2);
    assert_eq!((metrics.cut.get(), metrics.refused_full.get(), metrics.refused_failed.get()), (1, 1, 2));
    assert!(metrics.checkpoints.get() >= 3 && metrics.pruned.get() >= 1 && metrics.sync_seconds.count() >= 2);
    assert_eq!(metrics.cut_lines.get(), 1);
    let text = exposed(&registry);
    for desc in descs("shop_") {
        assert!(text.contains(&format!("# TYPE {} ", desc.name)), "{} is not exposed: {text}", desc.name);
    }
    assert!(text.contains("shop_audit_refused_total{reason=\"full\"} 1\n"), "{text}");
    assert!(text.contains(&format!("shop_audit_bytes {}.0\n", log.bytes())), "{text}");
    assert!(text.contains("shop_audit_max_bytes 9000.0\n"), "{text}");
    assert_eq!(AuditMetrics::default().entries.get(), 0);
}
