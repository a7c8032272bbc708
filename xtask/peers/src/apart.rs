//! Work that needs a process of its own, because what it measures is set once for a whole program: a subscriber.
//!
//! The program starts itself with `--apart WORK WHO THREADS` and is told what the round came to.

use std::process::Command;

use crate::harness::{Subject, Whose};

/// What a round in a process of its own came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Nanoseconds of each.
    pub(crate) ns: f64,
    pub(crate) made: u64,
    /// That came out whole at the other end.
    pub(crate) delivered: u64,
    /// That did not, and were counted by whoever lost them.
    pub(crate) counted: u64,
}

impl Round {
    pub(crate) fn print(self) {
        println!("{} {} {} {}", self.ns, self.made, self.delivered, self.counted);
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split_whitespace();
        Some(Self {
            ns: parts.next()?.parse().ok()?,
            made: parts.next()?.parse().ok()?,
            delivered: parts.next()?.parse().ok()?,
            counted: parts.next()?.parse().ok()?,
        })
    }
}

/// One round by a process of its own.
fn run(work: &str, who: Whose, threads: usize) -> Round {
    let program = std::env::current_exe().expect("the program knows where it is");
    let mut command = Command::new(program);
    command.args(["--apart", work, who.as_str(), &threads.to_string()]);
    // Lines go to a file in memory; whoever fails says so by its status.
    let lines = tempfile::tempfile_in("/dev/shm").expect("there is memory for a file");
    let output = command.stderr(lines).output().expect("the program can be started again");
    assert!(output.status.success(), "{work} by {}: {}", who.as_str(), output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    Round::parse(&text).unwrap_or_else(|| panic!("{work} by {}: {text:?}", who.as_str()))
}

/// Nanoseconds of each.
pub(crate) fn time(work: &'static str, who: Whose, threads: usize) -> Subject {
    Subject::new(who, move || run(work, who, threads).ns)
}

/// Per cent that neither came out nor were counted.
pub(crate) fn vanished(work: &'static str, who: Whose, threads: usize) -> Subject {
    Subject::new(who, move || {
        let round = run(work, who, threads);
        100.0 * round.made.saturating_sub(round.delivered + round.counted) as f64 / round.made as f64
    })
}

/// Per cent that did not come out, counted or not.
pub(crate) fn lost(work: &'static str, who: Whose, threads: usize) -> Subject {
    Subject::new(who, move || {
        let round = run(work, who, threads);
        100.0 * round.made.saturating_sub(round.delivered) as f64 / round.made as f64
    })
}
