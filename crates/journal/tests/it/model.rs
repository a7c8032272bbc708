//! A journal beside a model of it: what may be found after a crash.

use std::path::Path;

use nkudo_journal::{Deed, JournalError, SimulatedDisk};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{collection, test_runner::Config};

use crate::journals::{files, open, payloads, try_open};

/// What is done with a journal.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Append(Vec<u8>),
    Sync,
    /// To the newest records, this many.
    Compact(usize),
}

/// The states of a journal that a loss of power may bring back.
#[derive(Debug, Default)]
pub(crate) struct Model {
    possible: Vec<Vec<Vec<u8>>>,
    current: Vec<Vec<u8>>,
}

impl Model {
    fn durable(&mut self) {
        self.possible = vec![self.current.clone()];
    }

    fn may_be(&mut self, state: Vec<Vec<u8>>) {
        self.possible.push(state);
    }
}

/// Runs the steps on a disk that fails as it was told to, and compares what is found after losses of power and after
/// a kill. Tells how many operations the disk has seen.
pub(crate) fn check(disk: &SimulatedDisk, steps: &[Step], what: &str) -> u64 {
    let mut model = Model::default();
    model.durable();
    let mut usable = true;
    match try_open(disk) {
        Err(_) => usable = false,
        Ok((mut journal, _)) => {
            for step in steps {
                let done = match step {
                    Step::Append(payload) => {
                        journal.append(payload).map(|_| model.current.push(payload.clone()))
                    }
                    Step::Sync => journal.sync().map(|_| model.durable()),
                    Step::Compact(keep) => {
                        let from = model.current.len().saturating_sub(*keep);
                        let snapshot = model.current.split_at(from).1.to_vec();
                        // Even when it fails, it may be in force.
                        model.may_be(snapshot.clone());
                        match journal.compact(snapshot.clone()) {
                            Ok(_) => {
                                model.current = snapshot;
                                model.durable();
                                Ok(())
                            }
                            Err(error) => {
                                if is_removal(&error) {
                                    model.current = snapshot;
                                    model.durable();
                                }
                                Err(error)
                            }
                        }
                    }
                };
                match done {
                    Ok(()) => model.may_be(model.current.clone()),
                    Err(JournalError::Poisoned(_)) => usable = false,
                    Err(error) => {
                        assert!(usable, "{what}: only poison after poison");
                        usable = !leaves_doubt(&error);
                    }
                }
            }
        }
    }
    let operations = disk.operations();
    let torn = (0..4).map(|seed| ("power lost within a write", disk.crash_torn(seed)));
    for (ending, after) in [("power lost", disk.crash()), ("killed", disk.kill())].into_iter().chain(torn) {
        let (mut journal, replay) = open(&after);
        let found = payloads(&replay);
        assert!(
            model.possible.contains(&found),
            "{what}, {ending}: {found:?} is none of {:?}",
            model.possible
        );
        if ending == "power lost" {
            assert_eq!(replay.discarded, None, "{what}");
        } else if ending == "killed" && usable {
            assert_eq!(found, model.current, "{what}, {ending}");
        }
        let left = files(&after).into_iter().filter(|(name, _)| name.ends_with(".new")).count();
        assert_eq!(left, 0, "{what}, {ending}: nothing unfinished is left");

        if !usable {
            // What this open found may be in the kernel's memory only, and syncs are not to be believed.
            journal.compact(found.clone()).expect("compacted");
        }
        journal.append(b"after").expect("appended");
        journal.sync().expect("durable");
        let mut expected = found;
        expected.push(b"after".to_vec());
        assert_eq!(payloads(&open(&after.crash()).1), expected, "{what}, {ending}");
    }
    operations
}

/// Whether it is not known after this what is on the disk.
fn leaves_doubt(error: &JournalError) -> bool {
    match error {
        JournalError::Disk { deed: Deed::Sync, path, .. } => !is_unfinished(path),
        JournalError::Disk { deed, .. } => *deed == Deed::Rename,
        _ => false,
    }
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "new")
}

fn is_removal(error: &JournalError) -> bool {
    matches!(error, JournalError::Disk { deed: Deed::Remove, path, .. } if !is_unfinished(path))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => collection::vec(any::<u8>(), 0..64).prop_map(Step::Append),
        3 => Just(Step::Sync),
        1 => (0..4_usize).prop_map(Step::Compact),
    ]
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(200) })]

    #[test]
    fn any_steps_with_any_fault(steps in collection::vec(step(), 0..24), from in 0..80_u64, lasting in 0..4_u64) {
        let disk = SimulatedDisk::new();
        disk.fail(from..from.saturating_add(if lasting == 3 { u64::MAX } else { lasting }));
        check(&disk, &steps, "any");
    }
}
