//! The program is killed while it writes.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nkudo_traces::{Config, Recent};

use crate::spans::trace_id;
use crate::world::pair;

/// Small segments, so that they are changed and removed all the time.
fn config() -> Config {
    Config { traces: 200, disk_bytes: 64 << 10, trace_bytes: 8 << 10, ..Config::default() }
}

/// The last number from `first` on that the child tells as written, when it is killed after so many.
fn kill_after(dir: &Path, first: u64, numbers: usize) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this is a program"));
    child.args(["--exact", "killed::a_child_that_writes_until_it_is_killed", "--ignored", "--nocapture"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("it is piped");
    writeln!(input, "{first} {}", dir.display()).expect("it reads");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let mut written = lines.filter_map(|line| line.strip_prefix("written ")?.parse().ok());
    let seen = written.nth(numbers - 1).expect("it writes until it is killed");
    child.kill().expect("it runs");
    child.wait().expect("it was killed");
    // What it told before it died.
    written.last().unwrap_or(seen)
}

#[test]
fn what_was_written_survives_a_kill() {
    let dir = tempfile::tempdir().expect("there is a place for it");
    let mut first = 0;
    for numbers in [1, 7, 100, 1_000, 3_000] {
        let last = kill_after(dir.path(), first, numbers);
        assert!(last >= first + numbers as u64 - 1);
        let recent = Recent::open(dir.path(), config()).expect("the bounds make sense");
        assert!(recent.failure().is_none());
        for number in last.saturating_sub(50).max(first)..=last {
            let trace =
                recent.trace(trace_id(number)).unwrap_or_else(|| panic!("{number} of {last} is there"));
            assert_eq!(trace.spans().len(), 2);
        }
        first = last + 10;
        // Each kill may tear one record.
        assert!(recent.stats().damaged <= 5, "{:?}", recent.stats());
    }
}

#[test]
#[ignore = "it is the child of the test above, which gives it a directory and kills it"]
fn a_child_that_writes_until_it_is_killed() {
    let mut order = String::new();
    io::stdin().read_line(&mut order).expect("it is a text");
    let Some((first, dir)) = order.trim_end().split_once(' ') else { return };
    let first: u64 = first.parse().expect("it is a number");
    let mut recent = Recent::open(Path::new(dir), config()).expect("the bounds make sense");
    let now = Instant::now();
    for number in first.. {
        recent.offer(now, pair(number));
        recent.tick(now + config().quiet);
        assert!(recent.failure().is_none());
        println!("written {number}");
    }
}
