//! What is written again after a start, of logs that do not reach back to their first line.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nkudo_audit::{AuditLog, HostKey};
use nkudo_domain::{ActionId, ActionType, AskedBy, VmId};
use nkudo_scribe::{Options, Place, ScribeMetrics};

use super::*;

/// When the first step was taken, in milliseconds since the Unix epoch.
const BEGAN_MS: i64 = 1_769_853_600_000;
const STEPS: i64 = 60;

/// Each was taken a second after the one before.
fn step(number: i64) -> Witnessed {
    Witnessed {
        step: Step::Accepted,
        at_ms: BEGAN_MS + number * 1000,
        action_id: format!("action-{number}").parse::<ActionId>().expect("an id"),
        action_type: ActionType::Start,
        vm_id: Some("0198e0c5-7c00-7000-8000-000000000001".parse::<VmId>().expect("an id")),
        command: None,
        vm_name: None,
        asked_by: AskedBy::ControlPlane,
        trace_id: None,
        correlation_id: None,
    }
}

/// A log of several files with these steps.
fn write(dir: &Path, steps: impl Iterator<Item = i64>) -> AuditLog<RealDisk> {
    let place = Place::within(dir);
    let key = HostKey::load_or_create(&RealDisk, &place.key).expect("a key");
    let options = nkudo_audit::Options { file_bytes: 4096, ..nkudo_audit::Options::default() };
    let (mut log, _) = AuditLog::open(RealDisk, &place.log, options, key).expect("a log");
    for number in steps {
        log.append(&entry(step(number))).expect("written");
    }
    log.sync().expect("durable");
    log
}

#[test]
fn what_ended_the_moment_its_turn_came_was_never_begun() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = write(dir.path(), 0..1);
    let of = |taken| Witnessed { step: taken, ..step(0) };
    let ended = Step::Ended { outcome: Outcome::Success { changed: false }, duration_ms: Some(0) };
    log.append(&entry(of(ended.clone()))).expect("written");
    log.sync().expect("durable");
    drop(log);
    let steps = steps(dir.path());
    let told = [of(Step::Accepted), of(Step::Started), of(ended)];
    assert_eq!(steps.missing(&mut told.into_iter()), []);
}

fn steps(dir: &Path) -> Steps {
    let options = Options { keep: Duration::MAX, ..Options::default() };
    let scribe = Scribe::start(Place::within(dir), options, ScribeMetrics::default(), || BEGAN_MS);
    Steps::new(scribe.expect("a thread"), || BEGAN_MS)
}

#[test]
fn what_was_begun_and_the_journal_does_not_know_has_outlived_its_records() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = write(dir.path(), 0..6);
    let ended = Step::Ended { outcome: Outcome::Cancelled, duration_ms: None };
    let execute = ActionType::CommandExecute;
    let week = 7 * 24 * 3_600;
    let lines = [
        (0, ActionType::Start, Step::Started),
        (0, ActionType::Start, ended.clone()),
        (1, ActionType::Start, Step::Started),
        (1, ActionType::Start, ended.clone()),
        (2, execute, Step::Started),
        (3, ActionType::Start, Step::Started),
        (4, execute, ended.clone()),
        (-week - 1, execute, Step::Started),
    ];
    for (number, action_type, taken) in lines {
        log.append(&entry(Witnessed { step: taken, action_type, ..step(number) })).expect("written");
    }
    log.sync().expect("durable");
    drop(log);
    let steps = steps(dir.path());
    let outlived = |number: i64| steps.outlived(&step(number).action_id);
    assert!(!outlived(1), "before the look nothing is known");
    assert_eq!(steps.missing(&mut [step(0)].into_iter()), []);
    assert!(!outlived(0), "the journal knows it");
    assert!(outlived(1), "it has ended");
    assert!(outlived(2), "of a command it is enough that it may have been begun");
    assert!(!outlived(3), "its intent may never have been durable");
    assert!(!outlived(4), "it ended without having been begun");
    assert!(!outlived(5), "it was taken in at most, which nobody may have been told");
    assert!(!outlived(-week - 1), "the journal may have forgotten it in its time");
    // An executor that starts again in the same program, over a journal that was lost meanwhile.
    assert_eq!(steps.missing(&mut std::iter::empty()), []);
    assert!(outlived(0) && outlived(1) && outlived(2) && !outlived(3));
}

#[test]
fn a_clock_that_is_behind_the_log_makes_nothing_younger() {
    let dir = tempfile::tempdir().expect("a directory");
    let year = 365 * 24 * 3_600;
    let mut log = write(dir.path(), 0..1);
    for number in [year - 1, year] {
        for taken in [Step::Started, Step::Ended { outcome: Outcome::Cancelled, duration_ms: None }] {
            log.append(&entry(Witnessed { step: taken, ..step(number) })).expect("written");
        }
    }
    let ended = Step::Ended { outcome: Outcome::Cancelled, duration_ms: None };
    for taken in [Step::Started, ended] {
        let old = Witnessed { step: taken, at_ms: BEGAN_MS, ..step(7) };
        log.append(&entry(old)).expect("written");
    }
    log.append(&entry(Witnessed { action_id: step(8).action_id, ..step(year) })).expect("written");
    log.sync().expect("durable");
    drop(log);
    let steps = steps(dir.path());
    assert_eq!(steps.missing(&mut std::iter::empty()), []);
    let outlived = |number: i64| steps.outlived(&step(number).action_id);
    assert!(outlived(year) && outlived(year - 1));
    assert!(!outlived(7), "by the log it is a year old");
}

/// The steps that a start finds missing of all that the journal tells.
fn missing(dir: &Path) -> Vec<i64> {
    let missing = steps(dir).missing(&mut (0..STEPS).map(step));
    missing.iter().map(|step| (step.at_ms - BEGAN_MS) / 1000).collect()
}

#[test]
fn steps_whose_lines_were_pruned_are_not_written_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = write(dir.path(), 0..STEPS - 2);
    let pruned = log.prune(40, at(BEGAN_MS)).expect("pruned");
    assert!(pruned.files > 0 && log.first_seq() > FIRST_ENTRY_SEQ, "{pruned:?}");
    drop(log);
    assert_eq!(missing(dir.path()), [STEPS - 2, STEPS - 1], "what a crash took is");
}

#[test]
fn steps_in_an_old_file_that_cannot_be_read_are_not_written_again() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(write(dir.path(), 0..STEPS - 1));
    let first = Place::within(dir.path()).log.join("00000000000000000001.jsonl");
    fs::remove_file(&first).expect("it is there");
    fs::create_dir(&first).expect("a directory in its place");
    assert_eq!(missing(dir.path()), [STEPS - 1]);
}

#[test]
fn of_a_log_with_its_first_line_every_missing_step_is_written_however_old() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(write(dir.path(), 5..STEPS));
    assert_eq!(missing(dir.path()), [0, 1, 2, 3, 4]);
}
