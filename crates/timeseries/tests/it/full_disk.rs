//! A disk that is full, and one that cannot be written: small file systems of their own, for root only.

use std::fs;
use std::path::Path;
use std::process::Command;

use nkudo_timeseries::{Config, Kind, Now, Samples, SamplesError};

use crate::world::{MINUTE, START};

/// A file system in memory, unmounted at the end. Nothing without the right to mount one.
pub(crate) struct Mounted(tempfile::TempDir);

impl Mounted {
    pub(crate) fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("there is a place for it");
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path()).output();
        let mounted = done.is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("SKIPPED: no small file system can be mounted here (root is needed)");
        }
        mounted.then_some(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn remount(&self, options: &str) {
        let done =
            Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.path()).status();
        assert!(done.expect("it runs").success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[tokio::test]
async fn a_full_disk_costs_the_oldest_only_and_heals() {
    let Some(disk) = Mounted::new("size=1m") else { return };
    let config = Config { open_bytes: 64 << 10, ..Config::default() };
    let mut samples = Samples::open(&disk.path().join("s"), config).await.expect("it opens");
    let load = samples.series("load", &[], Kind::Gauge, START).expect("there is room");
    samples.record(START, &[(load, 0.0)]);
    samples.seal().await.expect("there is room");
    let ballast = disk.path().join("ballast");
    drop(fs::write(&ballast, vec![7; 2 << 20]));
    let mut failures = 0;
    for tick in 1..20_000_i64 {
        samples.record(START + tick * MINUTE / 30, &[(load, tick as f64)]);
        if let Err(error) = samples.tend(Now::of_one_clock(START + tick * MINUTE / 30)).await {
            failures += 1;
            assert!(matches!(error, SamplesError::Full { .. }), "{error:?}");
            assert!(error.to_string().contains("free some space"), "{error}");
        }
        assert!(samples.stats().open_bytes <= 64 << 10);
    }
    let stats = samples.stats();
    assert!(failures > 0 && stats.failures == failures, "{stats:?}");
    assert!(stats.unjournaled > 0 && stats.dropped > 0, "{stats:?}");
    fs::remove_file(&ballast).expect("it is there");
    samples.tend(Now::of_one_clock(START + 20_000 * MINUTE / 30 + MINUTE)).await.expect("it is well again");
    let stats = samples.stats();
    assert_eq!(stats.open_samples, 0, "{stats:?}");
    assert_eq!(stats.sealed_samples + stats.dropped, 20_000);
    samples.record(START + 3_000 * MINUTE, &[(load, 0.5)]);
    drop(samples);
    let samples = Samples::open(&disk.path().join("s"), config).await.expect("it opens");
    assert_eq!(samples.stats().open_samples, 1, "the journal works again");
}

#[tokio::test]
async fn a_read_only_directory_is_told_with_a_remedy() {
    let Some(disk) = Mounted::new("size=1m") else { return };
    let samples = Samples::open(disk.path(), Config::default()).await.expect("it opens");
    samples.close().await.expect("it closes");
    disk.remount("ro");
    let error = Samples::open(disk.path(), Config::default()).await.expect_err("it is refused");
    assert!(matches!(error, SamplesError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().ends_with("give another directory, or make this one writable"), "{error}");
    let error = Samples::open(&disk.path().join("new"), Config::default()).await.expect_err("it is refused");
    assert!(matches!(error, SamplesError::ReadOnly { .. }), "{error:?}");
}
