//! What a simulated disk is made of, and when it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::content::Content;
use super::names::Names;
use crate::error::Deed;

/// All of a disk.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Those that have a name, may get one back, or are open.
    pub(super) files: BTreeMap<u64, Content>,
    pub(super) names: Names,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) operations: u64,
    pub(super) syncs: u64,
    pub(super) faults: Faults,
    /// None when there is always room.
    pub(super) capacity_bytes: Option<u64>,
    next_file: u64,
}

/// What shall fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    /// Operations by their numbers.
    pub(super) operations: Range<u64>,
    /// How many of each kind, from now on.
    pub(super) next: BTreeMap<Deed, u64>,
}

impl State {
    /// The same disk in a machine that began anew, with other content and names.
    pub(super) fn after_power_loss(
        &self,
        names: BTreeMap<PathBuf, u64>,
        mut content: impl FnMut(&Content) -> Vec<u8>,
    ) -> State {
        // In the order of the files, so that a seed means the same each time.
        let found = self.files.iter().map(|(file, old)| (*file, Content::found(content(old))));
        let (files, names) = (found.collect(), Names::found(names));
        let mut state = State { files, names, ..self.for_another_program() };
        state.forget_unreachable();
        state
    }

    pub(super) fn after_kill(&self) -> State {
        let mut state =
            State { files: self.files.clone(), names: self.names.clone(), ..self.for_another_program() };
        state.files.values_mut().for_each(|content| content.handles = 0);
        state.forget_unreachable();
        state
    }

    fn for_another_program(&self) -> State {
        let State { dirs, capacity_bytes, next_file, .. } = self;
        State {
            dirs: dirs.clone(),
            capacity_bytes: *capacity_bytes,
            next_file: *next_file,
            ..State::default()
        }
    }

    /// Before something is done: whether it may.
    pub(super) fn allow(&mut self, deed: Deed) -> io::Result<()> {
        match self.faults.next.get_mut(&deed) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Err(told_to_fail())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Before something is changed, which is counted.
    pub(super) fn operation(&mut self, deed: Deed) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        let allowed = self.allow(deed);
        if self.faults.operations.contains(&number) { Err(told_to_fail()) } else { allowed }
    }

    /// The file of a name.
    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        match self.names.now().get(path) {
            Some(file) => Ok(*file),
            None if self.dirs.contains(path) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        if self.names.now().contains_key(path) || self.dirs.contains(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let dir = path.parent().ok_or(io::ErrorKind::NotFound)?;
        if !self.dirs.contains(dir) {
            let is_file = self.names.now().contains_key(dir);
            return Err(if is_file { io::ErrorKind::NotADirectory } else { io::ErrorKind::NotFound }.into());
        }
        if self.free_bytes() == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = self.next_file;
        self.next_file += 1;
        self.files.insert(file, Content::default());
        self.names.add(path, file);
        Ok(file)
    }

    /// Appends what fits.
    pub(super) fn append(&mut self, file: u64, bytes: &[u8]) -> io::Result<()> {
        let fitting = usize::try_from(self.free_bytes()).unwrap_or(usize::MAX).min(bytes.len());
        self.content(file).append(&bytes[..fitting]);
        if fitting < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    pub(super) fn content(&mut self, file: u64) -> &mut Content {
        self.files.get_mut(&file).expect("a file stays while it has a name or is open")
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()))
    }

    /// A file that was removed takes room until it is closed.
    pub(super) fn used_bytes(&self) -> u64 {
        let named: BTreeSet<u64> = self.names.now().values().copied().collect();
        let takes_room = |file, content: &Content| named.contains(file) || content.handles > 0;
        let lengths = self.files.iter().filter(|(file, content)| takes_room(file, content));
        lengths.map(|(_, content)| content.bytes().len() as u64).sum()
    }

    /// Lets go of files that nothing can bring back.
    pub(super) fn forget_unreachable(&mut self) {
        let named = self.names.files();
        self.files.retain(|file, content| content.handles > 0 || named.contains(file));
    }
}

fn told_to_fail() -> io::Error {
    io::Error::other("the simulated disk was told to fail")
}
