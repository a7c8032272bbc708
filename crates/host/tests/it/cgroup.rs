//! Limits on CPU time: of this process whatever they are, and of a child that is given one.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use nkudo_host::cgroup::{Throttling, cpu_throttling};
use nkudo_host::process::{self, Identity};

use crate::children::{shell, until};

/// A group that may run for 5 ms of each 100 ms, removed at the end. Nothing without the right to make one.
struct Limited(PathBuf);

impl Limited {
    fn new() -> Option<Self> {
        let name = format!("nkudo-test-{}", std::process::id());
        let [one, two] =
            ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup"].map(|mount| PathBuf::from(mount).join(&name));
        let group = [(one, "cpu.cfs_quota_us", "5000"), (two, "cpu.max", "5000 100000")];
        let group = group.into_iter().find_map(|(path, limit, text)| {
            fs::create_dir(&path).ok()?;
            let group = Self(path);
            // Dropped where CPU time is not controlled: then there is no such file.
            let mut limit = File::options().write(true).open(group.0.join(limit)).ok()?;
            limit.write_all(text.as_bytes()).ok().map(|()| group)
        });
        if group.is_none() {
            eprintln!("SKIPPED: no control group with a limit can be made here");
        }
        group
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

#[test]
fn what_holds_this_process_back_is_known_or_not() {
    let own = process::identity(std::process::id()).expect("it lives");
    let found = cpu_throttling(own).expect("an answer");
    assert!(found.is_none_or(|found| found.periods > 0 || found.time.is_zero()), "{found:?}");
    let another = Identity { start_ticks: own.start_ticks + 1, ..own };
    assert_eq!(cpu_throttling(another).expect("an answer"), None);
    let absent = Identity { pid: u32::MAX, start_ticks: 0 };
    assert_eq!(cpu_throttling(absent).expect("an answer"), None);
}

#[tokio::test]
async fn a_busy_child_in_a_group_with_a_limit_is_held_back() {
    let Some(group) = Limited::new() else { return };
    let child = shell("while :; do :; done");
    let identity = child.identity();
    fs::write(group.0.join("cgroup.procs"), identity.pid.to_string()).expect("it may be moved");
    let Throttling { periods, time } = until("a period that is used up", || {
        let found = cpu_throttling(identity).expect("an answer").expect("there is a limit");
        (found.periods > 1).then_some(found)
    })
    .await;
    assert!(time > Duration::from_millis(10), "{periods} periods, {time:?}");
    // Reaped, so that the group is empty.
    drop(child);
    assert_eq!(cpu_throttling(identity).expect("an answer"), None);
}
