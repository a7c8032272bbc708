//! A disk in memory that loses what was not synced, and fails when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Disk, DiskFile};

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
    number: usize,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// Never shrinks: a simulation is short.
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    dirs: BTreeSet<PathBuf>,
    operations: u64,
    syncs: u64,
    failing: Range<u64>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    /// A sync failed: what was not durable then never becomes so, though later syncs say that it did.
    dropped: bool,
}

impl SimulatedDisk {
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::default()
    }

    /// The disk as it is found after power was lost now: everything that was not synced is gone. This disk goes on
    /// unharmed, so that one run can be cut off at many points.
    #[must_use]
    pub fn crash(&self) -> SimulatedDisk {
        let State { files, durable_names, dirs, .. } = self.lock().clone();
        let files = files.into_iter().map(|file| Content {
            bytes: file.durable.clone(),
            durable: file.durable,
            dropped: false,
        });
        SimulatedDisk::of(State {
            files: files.collect(),
            names: durable_names.clone(),
            durable_names,
            dirs,
            ..State::default()
        })
    }

    /// The disk as it is found after the program was killed now: everything written is there, and what was not
    /// synced can still be lost.
    #[must_use]
    pub fn kill(&self) -> SimulatedDisk {
        let state = self.lock().clone();
        SimulatedDisk::of(State { operations: 0, syncs: 0, failing: 0..0, ..state })
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
    /// will be, whatever later syncs say.
    pub fn fail(&self, operations: Range<u64>) {
        self.lock().failing = operations;
    }

    fn of(state: State) -> SimulatedDisk {
        SimulatedDisk { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn handle(&self, number: usize) -> SimulatedFile {
        SimulatedFile { state: Arc::clone(&self.state), number }
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let here = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(here.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn read_at(&self, path: &Path, offset: u64, max_bytes: u64) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        let number = state.find(path)?;
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let take = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        Ok(state.content(number).bytes.iter().skip(skip).take(take).copied().collect())
    }

    fn len(&self, path: &Path) -> io::Result<u64> {
        let mut state = self.lock();
        let number = state.find(path)?;
        Ok(state.content(number).bytes.len() as u64)
    }

    fn create_new(&self, path: &Path) -> io::Result<SimulatedFile> {
        let mut state = self.lock();
        state.operation()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| state.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let number = state.files.len();
        state.files.push(Content::default());
        state.names.insert(path.to_owned(), number);
        Ok(self.handle(number))
    }

    fn open_append(&self, path: &Path) -> io::Result<SimulatedFile> {
        let number = self.lock().find(path)?;
        Ok(self.handle(number))
    }

    fn truncate(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.operation()?;
        let number = state.find(path)?;
        state.content(number).bytes.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let allowed = state.operation();
        let number = state.find(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), number);
        allowed
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.operation()?;
        state.names.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.operation()?;
        state.syncs += 1;
        let State { names, durable_names, .. } = &mut *state;
        durable_names.retain(|path, _| path.parent() != Some(dir));
        let here = names.iter().filter(|(path, _)| path.parent() == Some(dir));
        durable_names.extend(here.map(|(path, number)| (path.clone(), *number)));
        Ok(())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        if state.dirs.contains(dir) {
            return Ok(());
        }
        state.operation()?;
        state.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        let allowed = state.operation();
        let written = if allowed.is_ok() { bytes.len() } else { bytes.len() / 2 };
        state.content(self.number).bytes.extend(bytes.iter().take(written));
        allowed
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = lock(&self.state);
        let allowed = state.operation();
        state.syncs += 1;
        let content = state.content(self.number);
        content.dropped |= allowed.is_err();
        if !content.dropped {
            content.durable.clone_from(&content.bytes);
        }
        allowed
    }
}

impl State {
    /// Counts an operation that is about to change something.
    fn operation(&mut self) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        if self.failing.contains(&number) {
            return Err(io::Error::other("the simulated disk was told to fail"));
        }
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn content(&mut self, number: usize) -> &mut Content {
        self.files.get_mut(number).expect("files are only added, and numbers are those of files")
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("nothing panics while it holds this lock")
}
