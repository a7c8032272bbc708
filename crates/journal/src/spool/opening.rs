//! From a directory to a spool.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use super::lane::{Lane, Segment};
use super::position::Position;
use super::{Class, Recovered, Spool, SpoolError, SpoolOptions, join, kind, prefix, segment_name};
use crate::disk::{Disk, DiskFile as _};
use crate::error::{Deed, JournalError};
use crate::format::{HEADER_BYTES, Header, HeaderFault, Seq};
use crate::reading::{Found, Records};
use crate::replay::{Discarded, FollowedBy, Reason};

impl<D: Disk> Spool<D> {
    /// Opens the spool in a directory, which is made when there is none. What it holds is durable then; what cannot be
    /// read is cut off and told. That a directory has one spool at a time is its owner's promise.
    ///
    /// After a failed sync the kernel may take for durable what is in its memory only, until the host starts anew: what
    /// is read then can be lost, and its numbers be given again.
    ///
    /// # Errors
    /// When the disk cannot be read or written, or the format is newer than this program.
    pub fn open(disk: D, dir: &Path, options: SpoolOptions) -> Result<(Spool<D>, Recovered), SpoolError> {
        disk.create_dir_all(dir).map_err(Deed::MakeDirectory.failed(dir))?;
        let names: BTreeSet<String> = disk.list(dir).map_err(Deed::List.failed(dir))?.into_iter().collect();
        let mut recovered = Recovered::default();
        let audit = lane(&disk, dir, Class::Audit, &names, &mut recovered.discarded)?;
        let telemetry = lane(&disk, dir, Class::Telemetry, &names, &mut recovered.discarded)?;
        // What was found may be in the kernel's memory only, the name of the position too.
        disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))?;

        let segments = || audit.segments().iter().chain(telemetry.segments());
        let last = segments().map(|segment| segment.last).max().unwrap_or_default();
        let mut positions: Vec<Position> = names.iter().filter_map(|name| Position::of_name(name)).collect();
        positions.sort_unstable();
        let position = match positions.pop() {
            Some(position) => position,
            None => {
                recovered.position_lost = last > Seq::default();
                let first = segments().map(|segment| segment.first).min().unwrap_or(Seq::new(1));
                let position = Position { acknowledged: first.previous(), next: last.next().max(first) };
                position.create(&disk, dir)?
            }
        };
        let next = position.next.max(last.next());
        let mut spool = Spool {
            dir: dir.to_owned(),
            options,
            audit,
            telemetry,
            position,
            acknowledged: position.acknowledged,
            next,
            durable: next.previous(),
            dropped: 0,
            unsynced_names: false,
            poisoned: false,
            disk,
        };
        spool.remove_what_came_back()?;
        Ok((spool, recovered))
    }

    /// A removal that was not durable may have come undone.
    fn remove_what_came_back(&mut self) -> Result<(), JournalError> {
        for class in [Class::Audit, Class::Telemetry] {
            while self.lane(class).has_finished_up_to(self.acknowledged) {
                self.remove_oldest(class)?;
            }
        }
        while self.bytes() > self.options.max_bytes && (self.remove_acknowledged()? || self.drop_oldest()?) {}
        Ok(())
    }
}

/// The segments of a class, each cut where it is not whole, and durable.
fn lane<D: Disk>(
    disk: &D,
    dir: &Path,
    class: Class,
    names: &BTreeSet<String>,
    discarded: &mut Vec<Discarded>,
) -> Result<Lane<D>, JournalError> {
    let mut segments: VecDeque<Segment> = VecDeque::new();
    let firsts = names.iter().filter_map(|name| Seq::of_segment_name(name.strip_prefix(prefix(class))?));
    for first in firsts {
        let after = segments.back().map(|before| before.last).unwrap_or_default();
        let path = join(dir, class, first);
        let length = disk.length(&path).map_err(Deed::Read.failed(&path))?;
        let (segment, damage) = scan(disk, dir, class, first, after, length)?;
        if let Some((reason, followed_by)) = damage.filter(|_| length > 0) {
            let (segment, offset) = (segment_name(class, first), segment.bytes);
            let (bytes, kept) = (length - offset, Vec::new());
            discarded.push(Discarded { segment, offset, bytes, reason, followed_by, is_news: true, kept });
        }
        if segment.bytes == 0 {
            disk.remove(&path).map_err(Deed::Remove.failed(&path))?;
            continue;
        }
        if segment.bytes < length {
            disk.truncate(&path, segment.bytes).map_err(Deed::Truncate.failed(&path))?;
            durable(disk, &path)?;
        }
        segments.push_back(segment);
    }
    // Those before were synced when they were finished.
    let active = segments.back().map(|active| durable(disk, &join(dir, class, active.first))).transpose()?;
    Ok(Lane::of(class, segments, active))
}

fn durable<D: Disk>(disk: &D, path: &Path) -> Result<D::File, JournalError> {
    let mut file = disk.open_append(path).map_err(Deed::Append.failed(path))?;
    file.sync().map_err(Deed::Sync.failed(path))?;
    Ok(file)
}

/// How far a segment is whole, and why not further.
fn scan<D: Disk>(
    disk: &D,
    dir: &Path,
    class: Class,
    first: Seq,
    after: Seq,
    length: u64,
) -> Result<(Segment, Option<(Reason, FollowedBy)>), JournalError> {
    let path = join(dir, class, first);
    let mut segment = Segment { first, last: first.previous(), bytes: 0 };
    let mut records = Records::of(disk, path.clone(), length);
    let header = disk.read_at(&path, 0, HEADER_BYTES as u64).map_err(Deed::Read.failed(&path))?;
    match Header::decode(&header) {
        Ok(header) if header == (Header { kind: kind(class), first }) => {}
        Err(HeaderFault::Newer(found)) => return Err(JournalError::NewerFormat { segment: path, found }),
        Ok(_) | Err(HeaderFault::Damaged) => {
            return Ok((segment, Some((Reason::DamagedHeader, records.followed_by(first)?))));
        }
    }
    let mut expected = first.max(after.next())..=Seq::MAX;
    let damage = loop {
        match records.next(&expected)? {
            Found::Record(seq, _) => {
                segment.last = seq;
                expected = seq.next()..=Seq::MAX;
            }
            Found::End => break None,
            Found::Damage(reason) => break Some(reason),
        }
    };
    let damage = match damage {
        Some(reason) => Some((reason, records.followed_by(*expected.start())?)),
        None => None,
    };
    segment.bytes = records.offset();
    Ok((segment, damage))
}
