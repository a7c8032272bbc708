//! A disk in memory that loses what was not synced, rots, fills up, and fails when it is told to.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use self::state::State;
use super::{Disk, DiskFile};
use crate::error::Deed;
use crate::random::Random;

mod content;
mod names;
mod state;

/// A disk in memory. Clones are views of the same disk.
///
/// Two things become durable apart from each other: the content of a file by its own sync, and the names in a
/// directory by [`Disk::sync_dir`]. Directories themselves are durable at once.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a [`SimulatedDisk`]; like a real one it stays itself when it is renamed or removed.
#[derive(Debug)]
pub struct SimulatedFile {
    state: Arc<Mutex<State>>,
    file: u64,
}

/// A bit of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flipped {
    pub path: PathBuf,
    /// Of the byte that the bit is in.
    pub offset: u64,
    /// From 0, the lowest, to 7.
    pub bit: u8,
}

impl SimulatedDisk {
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::default()
    }

    /// The disk as it is found after power was lost now: everything that was not synced is gone. This disk goes on
    /// unharmed, so that one run can be cut off at many points.
    #[must_use]
    pub fn crash(&self) -> SimulatedDisk {
        let state = self.lock();
        let names = state.names.durable().clone();
        SimulatedDisk::of(state.after_power_loss(names, |content| content.durable().to_vec()))
    }

    /// The disk as it may be found after power was lost now, which one of many the seed decides. What is durable stays
    /// exactly. Of what was not synced anything may have reached the disk:
    /// - of what was appended to a file nothing, everything, a beginning, or some sectors of 512 bytes, with zeros or
    ///   what was there before in the others;
    /// - a cut or not, and of what was cut and written again the one or the other in each sector;
    /// - of the names that were added, renamed and removed any, whatever became of the content: a file can have its new
    ///   name and be empty. A renaming happens whole, and the changes of one name in their order.
    #[must_use]
    pub fn crash_torn(&self, seed: u64) -> SimulatedDisk {
        let mut random = Random::new(seed);
        let state = self.lock();
        let names = state.names.torn(&mut random);
        SimulatedDisk::of(state.after_power_loss(names, |content| content.torn(&mut random)))
    }

    /// The disk as it is found after the program was killed now: everything written is there, and what was not
    /// synced can still be lost.
    #[must_use]
    pub fn kill(&self) -> SimulatedDisk {
        SimulatedDisk::of(self.lock().after_kill())
    }

    /// Operations that change something, so far: the number of the next one.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Syncs of files and directories so far.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Lets the operations with these numbers fail, in place of those named before. Half of a failing append is
    /// written; a failing rename is done all the same; after a failing sync of a file, what was not durable never
    /// will be for sure, whatever later syncs say.
    pub fn fail(&self, operations: Range<u64>) {
        self.lock().faults.operations = operations;
    }

    /// Lets the next of one kind fail, so many of them, in place of what was said of that kind before; in the way that
    /// [`SimulatedDisk::fail`] tells. [`Deed::Sync`] is of files and of directories.
    pub fn fail_next(&self, deed: Deed, times: u64) {
        self.lock().faults.next.insert(deed, times);
    }

    /// How much room there is for the content of files; at first without a bound. Nothing is lost when it is less than
    /// what is there: the disk is full then.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity_bytes = Some(bytes);
    }

    /// What files take, those among them that were removed and are still open.
    pub fn used_bytes(&self) -> u64 {
        self.lock().used_bytes()
    }

    /// Flips a bit of a durable file, as a disk does that is going bad. Which one the seed decides; none when nothing
    /// is durable.
    pub fn flip(&self, seed: u64) -> Option<Flipped> {
        let mut state = self.lock();
        let durable = state.names.durable().clone();
        let mut files: Vec<(PathBuf, u64, usize)> = durable
            .into_iter()
            .map(|(path, file)| (path, file, state.content(file).durable().len()))
            .collect();
        files.retain(|(_, _, bytes)| *bytes > 0);
        let all: usize = files.iter().map(|(_, _, bytes)| bytes).sum();
        if all == 0 {
            return None;
        }
        let mut random = Random::new(seed);
        let mut offset = random.below(all);
        let bit = u8::try_from(random.below(8)).expect("it is below 8");
        for (path, file, bytes) in files {
            if offset < bytes {
                state.content(file).flip(offset, bit);
                return Some(Flipped { path, offset: offset as u64, bit });
            }
            offset -= bytes;
        }
        None
    }

    /// Flips this bit.
    ///
    /// # Errors
    /// `NotFound` when no such byte is durable.
    pub fn flip_at(&self, place: &Flipped) -> io::Result<()> {
        let mut state = self.lock();
        let found = state.names.durable().get(&place.path).copied();
        let content = state.content(found.ok_or(io::ErrorKind::NotFound)?);
        let offset = usize::try_from(place.offset).unwrap_or(usize::MAX);
        if offset >= content.durable().len() {
            return Err(io::ErrorKind::NotFound.into());
        }
        content.flip(offset, place.bit);
        Ok(())
    }

    fn of(state: State) -> SimulatedDisk {
        SimulatedDisk { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn handle(&self, state: &mut State, file: u64) -> SimulatedFile {
        state.content(file).handles += 1;
        SimulatedFile { state: Arc::clone(&self.state), file }
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.lock();
        state.allow(Deed::List)?;
        if !state.dirs.contains(dir) {
            let is_file = state.names.now().contains_key(dir);
            return Err(if is_file { io::ErrorKind::NotADirectory } else { io::ErrorKind::NotFound }.into());
        }
        let all = state.names.now().keys().chain(&state.dirs);
        let here = all.filter(|path| path.parent() == Some(dir));
        Ok(here.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        let mut state = self.lock();
        state.allow(Deed::Read)?;
        let file = state.find(path)?;
        Ok(state.content(file).bytes().len() as u64)
    }

    fn read_at(&self, path: &Path, offset: u64, max_bytes: u64) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        state.allow(Deed::Read)?;
        let file = state.find(path)?;
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let take = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let rest = state.content(file).bytes().get(skip..).unwrap_or_default();
        Ok(rest.get(..take).unwrap_or(rest).to_vec())
    }

    fn create_new(&self, path: &Path) -> io::Result<SimulatedFile> {
        let mut state = self.lock();
        state.operation(Deed::Create)?;
        let file = state.create(path)?;
        Ok(self.handle(&mut state, file))
    }

    fn open_append(&self, path: &Path) -> io::Result<SimulatedFile> {
        let mut state = self.lock();
        let file = state.find(path)?;
        Ok(self.handle(&mut state, file))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.operation(Deed::Truncate)?;
        let file = state.find(path)?;
        state.content(file).truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let allowed = state.operation(Deed::Rename);
        let file = state.find(from)?;
        if state.dirs.contains(to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        state.names.rename(from, to, file);
        allowed
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.operation(Deed::Remove)?;
        state.find(path)?;
        state.names.remove(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.operation(Deed::Sync)?;
        state.syncs += 1;
        state.names.sync(dir);
        state.forget_unreachable();
        Ok(())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if state.dirs.contains(dir) {
            return Ok(());
        }
        state.operation(Deed::MakeDirectory)?;
        if let Some(file) = dir.ancestors().find(|path| state.names.now().contains_key(*path)) {
            let kind = if file == dir { io::ErrorKind::AlreadyExists } else { io::ErrorKind::NotADirectory };
            return Err(kind.into());
        }
        state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        match state.operation(Deed::Append) {
            Ok(()) => state.append(self.file, bytes),
            // Half of it, as far as there is room; that it failed is told either way.
            Err(told) => state.append(self.file, &bytes[..bytes.len() / 2]).and(Err(told)),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = lock(&self.state);
        let allowed = state.operation(Deed::Sync);
        state.syncs += 1;
        state.content(self.file).sync(allowed.is_ok());
        allowed
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        // A test that failed may leave the lock poisoned; what it forgets then is of no use to anybody.
        if let Ok(mut state) = self.state.lock() {
            state.content(self.file).handles -= 1;
            state.forget_unreachable();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nothing panics while it holds this lock")
}
