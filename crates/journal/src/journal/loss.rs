//! The note of a loss: told at every opening until the owner of the journal says that it has it on record.
//!
//! Repairing a journal makes it whole again, and a program that is killed right after that would never know that records
//! are missing. So the note is durable before anything is set aside.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::atomic::{atomic_replace, remove_if_there, unfinished};
use crate::bytes::{Malformed, Reader, Writer};
use crate::disk::Disk;
use crate::error::{Deed, JournalError};
use crate::format::{RECORD_HEAD_BYTES, RecordHead, Seq, encode_record};
use crate::replay::{Discarded, FollowedBy, Reason};

pub(crate) const NAME: &str = "loss";
/// A longer file is no note.
const NOTE_MAX_BYTES: u64 = 1 << 20;

/// What was lost and is not on record with the owner; none without a note.
pub(crate) fn read<D: Disk>(
    disk: &D,
    dir: &Path,
    names: &BTreeSet<String>,
) -> Result<Option<Discarded>, JournalError> {
    if !names.contains(NAME) {
        return Ok(None);
    }
    let path = dir.join(NAME);
    let bytes = disk.read_at(&path, 0, NOTE_MAX_BYTES).map_err(Deed::Read.failed(&path))?;
    // That something was lost is known, whatever has become of the note.
    let unknown = Discarded {
        segment: NAME.to_owned(),
        offset: 0,
        bytes: 0,
        reason: Reason::Unknown,
        followed_by: FollowedBy::Segments,
        is_news: false,
        kept: Vec::new(),
    };
    Ok(Some(decode(&bytes, dir).unwrap_or(unknown)))
}

/// Makes it durable that this was lost.
pub(super) fn write<D: Disk>(disk: &D, dir: &Path, lost: &Discarded) -> Result<(), JournalError> {
    let mut payload = Writer::default();
    payload.text(&lost.segment);
    payload.unsigned(lost.offset);
    payload.unsigned(lost.bytes);
    payload.byte(number(lost.reason));
    payload.byte(lost.followed_by as u8);
    let names: Vec<&str> = lost.kept.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    payload.size(names.len());
    names.iter().for_each(|name| payload.text(name));
    let path = dir.join(NAME);
    let length = u32::try_from(payload.bytes.len());
    let length = length.map_err(|_| Deed::Append.failed(&path)(io::ErrorKind::FileTooLarge.into()))?;
    let mut bytes = Vec::new();
    encode_record(&mut bytes, Seq::new(1), length, &payload.bytes);
    atomic_replace(disk, &path, &bytes).inspect_err(|_| drop(remove_if_there(disk, &unfinished(&path))))
}

/// Takes the note away, durably.
pub(super) fn forget<D: Disk>(disk: &D, dir: &Path) -> Result<(), JournalError> {
    remove_if_there(disk, &dir.join(NAME))?;
    disk.sync_dir(dir).map_err(Deed::Sync.failed(dir))
}

fn decode(bytes: &[u8], dir: &Path) -> Option<Discarded> {
    let (head, payload) = bytes.split_at_checked(RECORD_HEAD_BYTES)?;
    let head = RecordHead::decode(head)?;
    if head.checksum != head.checksum_of(payload) || head.payload_bytes as usize != payload.len() {
        return None;
    }
    fields(&mut Reader::new(payload), dir).ok()
}

fn fields(payload: &mut Reader<'_>, dir: &Path) -> Result<Discarded, Malformed> {
    let segment = payload.text()?.to_owned();
    let (offset, bytes) = (payload.unsigned()?, payload.unsigned()?);
    let reason = reason(payload.byte()?).ok_or(Malformed)?;
    let followed = payload.byte()?;
    let followed_by = [FollowedBy::Nothing, FollowedBy::Records, FollowedBy::Segments]
        .into_iter()
        .find(|known| *known as u8 == followed)
        .ok_or(Malformed)?;
    let mut kept: Vec<PathBuf> = Vec::new();
    for _ in 0..payload.unsigned()? {
        kept.push(dir.join(payload.text()?));
    }
    payload.end()?;
    Ok(Discarded { segment, offset, bytes, reason, followed_by, is_news: false, kept })
}

const fn number(reason: Reason) -> u8 {
    match reason {
        Reason::Unknown => 0,
        Reason::DamagedHeader => 1,
        Reason::TornRecord => 2,
        Reason::DamagedRecord => 3,
        Reason::Gap => 4,
    }
}

fn reason(found: u8) -> Option<Reason> {
    [Reason::Unknown, Reason::DamagedHeader, Reason::TornRecord, Reason::DamagedRecord, Reason::Gap]
        .into_iter()
        .find(|reason| number(*reason) == found)
}
