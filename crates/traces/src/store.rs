//! Records in a directory of segments, the oldest of which goes when there is no room.
//!
//! The segments are our own and not those of `nkudo-journal`. A journal gives back what is before the first damage, as
//! what comes after it may depend on it, and drops old records by writing a snapshot of the others. Here no record depends
//! on another, so that damage costs what it hit; and the old go with their file. The disk is the journal's, with its
//! simulated one.

pub(crate) mod record;
mod segment;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};

use nkudo_journal::{Deed, Disk, DiskFile};

use self::segment::HEAD_BYTES;
use crate::error::StoreError;

/// Most bytes of a segment, which is also what is read of one at most.
pub(crate) const SEGMENT_BYTES_MAX: usize = 256 << 10;
/// Most segments. Programs that are restarted all the time make short ones.
pub(crate) const SEGMENTS_MAX: usize = 512;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    offset: u32,
    payload_bytes: u32,
}

impl Place {
    fn new(segment: u32, offset: u32, payload: &[u8]) -> Place {
        let payload_bytes = u32::try_from(payload.len()).expect("a record fits in a segment");
        Place { segment, offset, payload_bytes }
    }
}

/// The bounds of a [`Store`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) disk_bytes: u64,
    pub(crate) segment_bytes: usize,
    /// Most records of a segment.
    pub(crate) segment_records: usize,
}

/// Why a segment is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It was the oldest, and there was no room.
    Evicted,
    /// Somebody else removed it.
    Vanished,
}

#[derive(Debug, Clone, Copy, Default)]
struct Segment {
    bytes: u64,
    records: usize,
}

/// Segments in a directory. Making one writes nothing.
pub(crate) struct Store<D: Disk> {
    disk: D,
    dir: PathBuf,
    bounds: Bounds,
    segments: BTreeMap<u32, Segment>,
    /// The last segment while it can take more.
    active: Option<(u32, D::File)>,
    next: u32,
    gone: Vec<(u32, Gone)>,
}

impl<D: Disk> fmt::Debug for Store<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, bounds, segments, next, .. } = self;
        let mut shown = f.debug_struct("Store");
        shown.field("dir", dir).field("bounds", bounds).field("segments", segments).field("next", next);
        shown.finish_non_exhaustive()
    }
}

impl<D: Disk> Store<D> {
    /// Reads every segment, the oldest first, and gives each record to `found`. How many stretches were damaged, and
    /// what could not be read at all.
    pub(crate) fn open(
        disk: D,
        dir: &Path,
        bounds: Bounds,
        mut found: impl FnMut(Place, &[u8]),
    ) -> (Self, u64, Option<StoreError>) {
        let (segments, next) = (BTreeMap::new(), 1);
        let mut store =
            Self { disk, dir: dir.to_owned(), bounds, segments, active: None, next, gone: Vec::new() };
        let mut damaged = 0;
        let (numbers, mut failure) = match store.list() {
            Ok(numbers) => (numbers, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        for number in numbers {
            store.next = number.saturating_add(1);
            let path = store.path(number);
            // One byte more, to see that there is no more.
            match store.disk.read_at(&path, 0, SEGMENT_BYTES_MAX as u64 + 1) {
                Ok(bytes) => {
                    let scan = segment::scan(number, &bytes, &mut found);
                    damaged += scan.damaged;
                    let segment = Segment { bytes: bytes.len() as u64, records: scan.records };
                    store.segments.insert(number, segment);
                    if scan.whole {
                        store.active = store.disk.open_append(&path).ok().map(|file| (number, file));
                    } else {
                        store.active = None;
                    }
                }
                Err(source) => {
                    damaged += 1;
                    store.segments.insert(number, Segment::default());
                    store.active = None;
                    failure = Some(StoreError { deed: Deed::Read, path, source });
                }
            }
        }
        (store, damaged, failure)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    /// Segments that went since this was asked last.
    pub(crate) fn take_gone(&mut self) -> Vec<(u32, Gone)> {
        mem::take(&mut self.gone)
    }

    /// The payload of a record; none when it is damaged or gone.
    pub(crate) fn read(&self, place: Place) -> Option<Vec<u8>> {
        let length = HEAD_BYTES as u64 + u64::from(place.payload_bytes);
        let bytes = self.disk.read_at(&self.path(place.segment), place.offset.into(), length).ok()?;
        segment::payload(place, &bytes).map(<[u8]>::to_vec)
    }

    /// Looks whether what is written to is still there: a file that was removed takes writes as before.
    pub(crate) fn look(&mut self) -> Result<(), StoreError> {
        let Some((number, _)) = self.active else { return Ok(()) };
        let bytes = self.segments.get(&number).map_or(0, |segment| segment.bytes);
        let last = self.disk.read_at(&self.path(number), bytes.saturating_sub(1), 2);
        if last.is_ok_and(|last| last.len() as u64 == bytes.min(1)) {
            return Ok(());
        }
        self.active = None;
        let there = self.list()?;
        let vanished: Vec<u32> =
            self.segments.keys().filter(|number| !there.contains(number)).copied().collect();
        vanished.into_iter().for_each(|number| self.forget(number, Gone::Vanished));
        Ok(())
    }

    /// Adds a record, which fits in a segment.
    pub(crate) fn append(&mut self, payload: &[u8]) -> Result<Place, StoreError> {
        let record_bytes = HEAD_BYTES + payload.len();
        let number = self.begin(record_bytes as u64)?;
        while self.bytes() + record_bytes as u64 > self.bounds.disk_bytes && self.segments.len() > 1 {
            self.evict()?;
        }
        let path = self.path(number);
        let segment = self.segments.get_mut(&number).expect("it was begun, and is not the oldest of several");
        let offset = u32::try_from(segment.bytes).expect("a segment is small");
        let place = Place::new(number, offset, payload);
        let (_, file) = self.active.as_mut().expect("it was begun");
        if let Err(source) = file.append(&segment::frame(place, payload)) {
            // What was half written is in the way of the next record; with it the segment takes no more.
            if self.disk.truncate(&path, segment.bytes).is_err() {
                self.active = None;
            }
            return Err(StoreError { deed: Deed::Append, path, source });
        }
        segment.bytes += record_bytes as u64;
        segment.records += 1;
        Ok(place)
    }

    /// Makes what was appended survive a loss of power.
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        let Some((number, file)) = &mut self.active else { return Ok(()) };
        let number = *number;
        file.sync().map_err(|source| StoreError { deed: Deed::Sync, path: self.path(number), source })
    }

    /// Removes the oldest segment.
    pub(crate) fn evict(&mut self) -> Result<(), StoreError> {
        let Some(number) = self.segments.keys().next().copied() else { return Ok(()) };
        let path = self.path(number);
        match self.disk.remove(&path) {
            Ok(()) => self.forget(number, Gone::Evicted),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.forget(number, Gone::Vanished),
            Err(source) => return Err(StoreError { deed: Deed::Remove, path, source }),
        }
        Ok(())
    }

    /// The segment that a record of so many bytes goes to.
    fn begin(&mut self, record_bytes: u64) -> Result<u32, StoreError> {
        if let Some((number, _)) = self.active {
            let Segment { bytes, records } = self.segments.get(&number).copied().unwrap_or_default();
            let has_room = records < self.bounds.segment_records
                && bytes + record_bytes <= self.bounds.segment_bytes as u64;
            if has_room {
                return Ok(number);
            }
            let synced = self.sync();
            self.active = None;
            synced?;
        }
        while self.segments.len() >= SEGMENTS_MAX {
            self.evict()?;
        }
        let failed = |deed, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError { deed, path, source }
        };
        self.disk.create_dir_all(&self.dir).map_err(failed(Deed::MakeDirectory, &self.dir))?;
        let number = self.next;
        let path = self.path(number);
        // A name that is taken is not tried again.
        self.next = self.next.saturating_add(1);
        let file = self.disk.create_new(&path).map_err(failed(Deed::Create, &path))?;
        self.active = Some((number, file));
        self.segments.insert(number, Segment::default());
        self.disk.sync_dir(&self.dir).map_err(failed(Deed::Sync, &self.dir))?;
        Ok(number)
    }

    fn forget(&mut self, number: u32, why: Gone) {
        if self.active.as_ref().is_some_and(|(active, _)| *active == number) {
            self.active = None;
        }
        self.segments.remove(&number);
        self.gone.push((number, why));
    }

    /// The numbers of the segments that are there, in order.
    fn list(&self) -> Result<Vec<u32>, StoreError> {
        let names = match self.disk.list(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => {
                listed.map_err(|source| StoreError { deed: Deed::List, path: self.dir.clone(), source })?
            }
        };
        let number = |name: &String| {
            let number = name.strip_suffix(".seg")?.parse().ok()?;
            (file_name(number) == *name).then_some(number)
        };
        let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(file_name(number))
    }
}

fn file_name(number: u32) -> String {
    format!("{number:010}.seg")
}
