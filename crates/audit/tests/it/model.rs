//! A log beside a model of it: what may be found after a crash.

use std::ops::Range;

use nkudo_audit::{AuditError, Head};
use nkudo_journal::{Deed, SimulatedDisk};
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use proptest::{collection, test_runner::Config};

use crate::logs::{Log, append, at, disk_with_key, entry, files, numbers, open, try_open, verified};

/// What is done with a log.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Append,
    Sync,
    Checkpoint,
    /// Before the line with this number.
    Prune(u64),
    /// As after a kill.
    Reopen,
}

/// What is known of a log.
#[derive(Debug)]
struct Model {
    /// The numbers of entries that were appended, of which the first may be pruned.
    appended: Vec<u64>,
    /// How many of them were said to be durable.
    durable: usize,
    head: Head,
    /// The number of the next entry.
    next: u64,
    /// An entry whose write failed and could not be taken back: it may be there or not.
    in_doubt: Option<u64>,
}

impl Model {
    fn new() -> Model {
        Model { appended: Vec::new(), durable: 0, head: Head::START, next: 0, in_doubt: None }
    }

    /// One step. Whether the log can be used after it.
    fn step(&mut self, log: &mut Log, step: &Step) -> Result<(), AuditError> {
        let now = at(i64::try_from(self.next).expect("small"));
        match step {
            Step::Append => {
                let number = self.next;
                self.next += 1;
                let appended = log.append(&entry(number));
                if !matches!(appended, Err(AuditError::Poisoned(_))) {
                    self.in_doubt = appended.is_err().then_some(number);
                }
                appended?;
                self.appended.push(number);
            }
            Step::Sync => {
                self.head = log.sync()?;
                self.durable = self.appended.len();
            }
            Step::Checkpoint => log.checkpoint(now)?,
            Step::Prune(before) => drop(log.prune(*before, now)?),
            Step::Reopen => {}
        }
        Ok(())
    }

    /// What is found is a stretch of what was appended: nothing durable is missing at its end, and only what was pruned
    /// at its beginning.
    fn judge(&self, found: &[u64], is_pruned: bool, what: &str) -> Range<usize> {
        let found = match found.split_last() {
            Some((last, before)) if self.in_doubt == Some(*last) => before,
            Some(_) | None => found,
        };
        let from = match found.first() {
            Some(first) => self.appended.iter().position(|number| number == first).expect("it was appended"),
            None if is_pruned => self.durable.min(self.appended.len()),
            None => 0,
        };
        let to = from + found.len();
        assert_eq!(found, &self.appended[from..to], "{what}: of {:?}", self.appended);
        assert!(to >= self.durable, "{what}: {} were durable, found {found:?}", self.durable);
        assert!(from == 0 || is_pruned, "{what}: the beginning is missing");
        from..to
    }
}

/// Runs the steps on a disk that fails as it was told to, and judges what is found after a loss of power and after a kill.
/// Tells how many operations the disk has seen.
pub(crate) fn check(disk: &SimulatedDisk, steps: &[Step], what: &str) -> u64 {
    let mut model = Model::new();
    let mut log = try_open(disk).ok().map(|(log, _)| log);
    let is_pruned = steps.iter().any(|step| matches!(step, Step::Prune(_)));
    let mut poisoned = false;
    for step in steps {
        if matches!(step, Step::Reopen) || log.is_none() {
            log = try_open(disk).ok().map(|(log, _)| log);
            if log.is_some() {
                poisoned = false;
                let found = numbers(disk);
                let there = model.judge(&found, is_pruned, what);
                // All that is found is durable, and what is not was never acknowledged.
                model.appended.truncate(there.end);
                model.appended.extend(model.in_doubt.take().filter(|number| found.last() == Some(number)));
                model.durable = model.appended.len();
            }
        }
        let Some(log) = &mut log else { continue };
        let durable = model.durable;
        match model.step(log, step) {
            Ok(()) => assert!(!poisoned || matches!(step, Step::Reopen), "{what}: only poison after poison"),
            Err(AuditError::Poisoned(_)) => poisoned = true,
            Err(error) => {
                if log.sync().is_ok() {
                    model.in_doubt = None;
                }
                assert!(!poisoned, "{what}: only poison after poison");
                assert!(matches!(error, AuditError::Disk { .. }), "{what}: {error}");
                assert_eq!(model.durable, durable, "{what}: nothing is acknowledged");
                poisoned = matches!(error, AuditError::Disk { deed: Deed::Sync, .. }) && log.sync().is_err();
            }
        }
    }
    let operations = disk.operations();
    for (ending, after) in [("power lost", disk.crash()), ("killed", disk.kill())] {
        judge_ending(&model, &after, is_pruned, &format!("{what}, {ending}"));
    }
    operations
}

fn judge_ending(model: &Model, after: &SimulatedDisk, is_pruned: bool, what: &str) {
    // Before anybody opens it again: a crash is not taken for tampering.
    let is_there = nkudo_journal::Disk::list(after, crate::logs::dir()).is_ok();
    let expected = (model.head.seq > 0).then_some(model.head);
    if is_there {
        let report = verified(after, expected);
        assert!(report.is_untampered(), "{what}: {report:#?}");
    }
    let (mut log, opened) = open(after);
    let found = numbers(after);
    model.judge(&found, is_pruned, what);
    assert!(opened.head.seq >= model.head.seq, "{what}");
    let left = files(after).into_iter().filter(|(name, _)| name.ends_with(".new")).count();
    assert_eq!(left, 0, "{what}: nothing unfinished is left");

    append(&mut log, 900..901);
    let head = log.sync().expect("durable");
    let report = verified(&after.crash(), Some(head));
    assert!(report.is_untampered() && report.cut.is_none(), "{what}: {report:#?}");
    let report = verified(&after.crash(), expected);
    assert!(report.is_untampered(), "{what}: {report:#?}");
    assert_eq!(numbers(&after.crash()), [found, vec![900]].concat(), "{what}");
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Append),
        3 => Just(Step::Sync),
        1 => Just(Step::Checkpoint),
        1 => (0..30_u64).prop_map(Step::Prune),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(200) })]

    #[test]
    fn any_steps_with_any_fault(steps in collection::vec(step(), 0..40), from in 0..80_u64, lasting in 0..4_u64) {
        let disk = disk_with_key();
        disk.fail(from..from.saturating_add(if lasting == 3 { u64::MAX } else { lasting }));
        check(&disk, &steps, "any");
    }
}
