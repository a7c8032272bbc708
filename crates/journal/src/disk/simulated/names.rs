//! The names of simulated files: those that are seen, those that are durable, and what lies between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::random::Random;

/// Which file has which name.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    now: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    /// In their order, each until its directory is synced.
    pending: Vec<Change>,
}

/// One change, which reaches the disk whole or not at all.
#[derive(Debug, Clone)]
struct Change {
    removed: Option<PathBuf>,
    added: Option<(PathBuf, u64)>,
}

impl Names {
    /// As they are found after a loss of power.
    pub(super) fn found(durable: BTreeMap<PathBuf, u64>) -> Names {
        Names { now: durable.clone(), durable, pending: Vec::new() }
    }

    pub(super) fn now(&self) -> &BTreeMap<PathBuf, u64> {
        &self.now
    }

    pub(super) fn durable(&self) -> &BTreeMap<PathBuf, u64> {
        &self.durable
    }

    pub(super) fn add(&mut self, path: &Path, file: u64) {
        self.change(Change { removed: None, added: Some((path.to_owned(), file)) });
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, file: u64) {
        self.change(Change { removed: Some(from.to_owned()), added: Some((to.to_owned(), file)) });
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.change(Change { removed: Some(path.to_owned()), added: None });
    }

    pub(super) fn sync(&mut self, dir: &Path) {
        let is_here = |path: &PathBuf| path.parent() == Some(dir);
        self.durable.retain(|path, _| !is_here(path));
        let here = self.now.iter().filter(|(path, _)| is_here(path));
        self.durable.extend(here.map(|(path, file)| (path.clone(), *file)));
        self.pending.retain(|change| !change.paths().any(is_here));
    }

    /// What a loss of power may leave: of the changes that were not synced any, but those of one name in their order.
    pub(super) fn torn(&self, random: &mut Random) -> BTreeMap<PathBuf, u64> {
        let mut happened = vec![false; self.pending.len()];
        for (number, change) in self.pending.iter().enumerate().rev() {
            happened[number] |= random.coin();
            if happened[number] {
                for (earlier, before) in happened.iter_mut().zip(&self.pending).take(number) {
                    *earlier |= before.paths().any(|path| change.paths().any(|other| other == path));
                }
            }
        }
        let mut names = self.durable.clone();
        let changes = self.pending.iter().zip(happened).filter(|(_, happened)| *happened);
        changes.for_each(|(change, _)| change.apply(&mut names));
        names
    }

    /// The files that have a name, or had one that may come back.
    pub(super) fn files(&self) -> BTreeSet<u64> {
        let pending = self.pending.iter().filter_map(|change| change.added.as_ref()).map(|(_, file)| file);
        self.now.values().chain(self.durable.values()).chain(pending).copied().collect()
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        if let Some(path) = &self.removed {
            names.remove(path);
        }
        if let Some((path, file)) = &self.added {
            names.insert(path.clone(), *file);
        }
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.removed.iter().chain(self.added.iter().map(|(path, _)| path))
    }
}
