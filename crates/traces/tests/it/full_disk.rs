//! A disk that is full, and one that cannot be written: small file systems of their own, for root only.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nkudo_traces::{Config, Recent};

use crate::spans::{span, text, trace_id, with};
use crate::world::pair;

/// A file system in memory, unmounted at the end. Nothing without the right to mount one.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("there is a place for it");
        let mut mount = Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path()).output();
        let mounted = done.is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("SKIPPED: no small file system can be mounted here (root is needed)");
        }
        mounted.then_some(Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, options: &str) {
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

fn open(dir: &Path) -> Recent {
    Recent::open(dir, Config::default()).expect("the bounds make sense")
}

fn is_there(recent: &Recent, number: u64) -> bool {
    recent.trace(trace_id(number)).is_some()
}

#[test]
fn a_full_disk_is_told_and_heals() {
    let Some(disk) = Mounted::new("size=256k") else { return };
    let (dir, now) = (disk.path().join("traces"), Instant::now());
    let mut recent = open(&dir);
    recent.offer(now, pair(1));
    recent.flush(now);
    let ballast = disk.path().join("ballast");
    drop(fs::write(&ballast, vec![7; 1 << 20]));
    // More than what is left of a page.
    recent.offer(now, vec![with(span("big", "a", 0, 1), "body", text(&"x".repeat(20 << 10)))]);
    recent.offer(now, pair(2));
    recent.flush(now);
    let failure = recent.failure().expect("the disk is full");
    assert_eq!(failure.source.kind(), std::io::ErrorKind::StorageFull, "{failure}");
    assert!(is_there(&recent, 1) && is_there(&recent, 2));
    assert!(is_there(&open(&dir), 1), "what was written is as it was");
    fs::remove_file(&ballast).expect("it is there");
    recent.tick(now + Config::default().retry);
    assert!(recent.failure().is_none());
    let again = open(&dir);
    assert!(is_there(&again, 1) && is_there(&again, 2));
    assert_eq!(again.stats().damaged, 0, "what was half written is cut off");
}

#[test]
fn a_read_only_disk_is_told_and_read() {
    let Some(disk) = Mounted::new("size=1m") else { return };
    let (dir, now) = (disk.path().join("traces"), Instant::now());
    let mut recent = open(&dir);
    recent.offer(now, pair(1));
    recent.flush(now);
    drop(recent);
    disk.remount("ro");
    let mut recent = open(&dir);
    assert!(is_there(&recent, 1));
    recent.offer(now, pair(2));
    recent.flush(now);
    let failure = recent.failure().expect("the disk is read-only");
    assert_eq!(failure.source.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{failure}");
    assert!(is_there(&recent, 1) && is_there(&recent, 2));
    disk.remount("rw");
    recent.tick(now + Config::default().retry);
    assert!(recent.failure().is_none());
    assert!(is_there(&open(&dir), 2));
}
