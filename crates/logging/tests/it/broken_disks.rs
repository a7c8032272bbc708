//! Disks that are full, cannot be written, or lose what is on them.

use std::fs;
use std::path::Path;
use std::process::Command;

use nkudo_logging::{FilesConfig, FilesError, LogFiles, OutputCounts, Rotation};
use tempfile::TempDir;

use crate::files::{at, config, contents, line, names, open};

/// A file system in memory, unmounted at the end. Nothing without the right to mount one.
struct Mounted(TempDir);

impl Mounted {
    fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
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
        assert!(done.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_costs_its_batches_only_and_cut_lines_are_ended() {
    let Some(disk) = Mounted::new("size=64k") else { return };
    let directory = disk.path().join("logs");
    let config = FilesConfig {
        max_file_bytes: 1 << 20,
        max_total_bytes: 1 << 20,
        ..config(&directory, Rotation::Daily)
    };
    let (mut files, counts) = open(&config);
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![7; 20_000]).unwrap();
    let mut failed = 0;
    for number in 0..100 {
        // Not a divisor of a page: the disk is full in the middle of a line.
        let batch = [line(number, 999), line(number, 999)].concat();
        if let Err(error) = files.write(at(0), &batch) {
            failed += 1;
            assert!(matches!(error, FilesError::Full { .. }), "{error:?}");
            assert!(error.to_string().contains("free some space"), "{error}");
            assert!(files.is_failing());
        }
    }
    assert!(failed > 50, "{failed}");
    assert_eq!(counts.failures.get(), 1, "it is one failure until it is well again");
    let in_files = (contents(&directory).len() / 999) as u64;
    assert_eq!(counts.lost.get(), 200 - in_files);
    assert_eq!(counts.cut.get(), 0, "there is no room for the end of the line yet");

    fs::remove_file(&ballast).unwrap();
    files.write(at(1), &line(100, 999)).unwrap();
    assert!(!files.is_failing());
    assert_eq!(counts.cut.get(), 1);
    let text = contents(&directory);
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let cut = lines.iter().filter(|line| line.len() != 999).count();
    assert_eq!((cut, lines.len() as u64), (1, in_files + 2));
    assert_eq!(*lines.last().unwrap(), line(100, 999));
    assert_eq!(counts.bytes_written.get(), text.len() as u64);

    fs::write(&ballast, vec![7; 64 << 10]).unwrap_err();
    for _ in 0..3 {
        drop(files.write(at(2), &line(0, 9_999)));
    }
    assert_eq!(counts.failures.get(), 2);
}

#[test]
fn a_disk_that_is_full_when_files_are_opened_stops_nothing() {
    let Some(disk) = Mounted::new("size=64k") else { return };
    let path = disk.path().join("app.00000001.2026-11-21.jsonl");
    fs::write(&path, [b'x'; 4_096]).unwrap();
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![7; 64 << 10]).unwrap_err();
    let config = FilesConfig {
        max_file_bytes: 64 << 10,
        max_total_bytes: 64 << 10,
        ..config(disk.path(), Rotation::Daily)
    };
    let (mut files, counts) = open(&config);
    files.write(at(0), b"{}\n").unwrap_err();
    assert_eq!((counts.cut.get(), counts.lost.get()), (0, 1));
    fs::remove_file(&ballast).unwrap();
    files.write(at(0), b"{}\n").unwrap();
    assert!(fs::read(&path).unwrap().ends_with(b"xx\n{}\n"));
    assert_eq!((counts.cut.get(), counts.failures.get()), (1, 1));
}

#[test]
fn a_read_only_disk_is_told_and_tried_again() {
    let Some(disk) = Mounted::new("size=64k") else { return };
    let config = config(disk.path(), Rotation::Minutely);
    let (mut files, counts) = open(&config);
    files.write(at(0), b"{\"n\":0}\n").unwrap();
    drop(files);
    disk.remount("ro");
    let mut files = LogFiles::open(config.clone(), counts.clone()).unwrap();
    for _ in 0..3 {
        let error = files.write(at(0), b"{\"n\":1}\n{\"n\":2}\n").unwrap_err();
        assert!(matches!(error, FilesError::ReadOnly { .. }), "{error:?}");
        assert!(error.to_string().contains("make it writable, or give another directory"), "{error}");
    }
    assert_eq!((counts.failures.get(), counts.lost.get()), (1, 6));
    disk.remount("rw");
    files.write(at(0), b"{\"n\":3}\n").unwrap();
    assert_eq!(contents(disk.path()), b"{\"n\":0}\n{\"n\":3}\n");
    drop(files);
    disk.remount("ro");
    let new = FilesConfig { directory: disk.path().join("new"), ..config };
    let error = LogFiles::open(new, OutputCounts::default()).unwrap_err();
    assert!(matches!(error, FilesError::ReadOnly { .. }), "{error:?}");
}

#[test]
fn a_directory_that_is_deleted_is_made_anew() {
    let dir = TempDir::new().unwrap();
    let directory = dir.path().join("deep").join("logs");
    let (mut files, counts) = open(&config(&directory, Rotation::Hourly));
    files.write(at(0), b"{\"n\":0}\n").unwrap();
    fs::remove_dir_all(dir.path().join("deep")).unwrap();
    files.write(at(1), b"{\"n\":1}\n").unwrap();
    assert!(!directory.exists(), "it is looked every two seconds");
    files.write(at(2), b"{\"n\":2}\n").unwrap();
    assert_eq!(contents(&directory), b"{\"n\":2}\n");
    assert_eq!(names(&directory), ["app.00000002.2026-11-21T10.jsonl"], "a number is not used twice");
    assert_eq!((counts.vanished.get(), counts.lost.get(), files.vanished()), (1, 0, 1));

    // At the edge of an hour it is noticed at once.
    fs::remove_dir_all(&directory).unwrap();
    files.write(at(31), b"{\"n\":3}\n").unwrap();
    assert_eq!(names(&directory), ["app.00000003.2026-11-21T11.jsonl"]);

    // A file in its place is told until it is gone.
    fs::remove_dir_all(&directory).unwrap();
    fs::write(&directory, "").unwrap();
    for _ in 0..3 {
        let error = files.write(at(34), b"{\"n\":4}\n").unwrap_err();
        assert!(error.to_string().contains("something else stands there"), "{error}");
    }
    assert_eq!((counts.failures.get(), counts.lost.get()), (1, 3));
    fs::remove_file(&directory).unwrap();
    files.write(at(34), b"{\"n\":5}\n").unwrap();
    assert_eq!(contents(&directory), b"{\"n\":5}\n");
}

#[test]
fn a_file_that_is_moved_replaced_or_truncated_is_noticed() {
    let dir = TempDir::new().unwrap();
    let (mut files, counts) = open(&config(dir.path(), Rotation::Hourly));
    files.write(at(0), &line(0, 4_000)).unwrap();
    let path = files.path().unwrap();
    fs::rename(&path, dir.path().join("moved")).unwrap();
    fs::write(&path, "replaced").unwrap();
    files.write(at(2), b"{}\n").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"replaced\n{}\n");
    assert_eq!((counts.vanished.get(), counts.cut.get()), (1, 1));
    // A truncated file has room again.
    files.write(at(2), &line(1, 4_000)).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    files.write(at(4), &line(2, 4_000)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), line(2, 4_000));
    assert_eq!(counts.rotations.get(), 0);
}
