//! Opening a log: what is there is judged as far as it is needed to go on, and its end is written anew.

use std::path::{Path, PathBuf};

use nkudo_journal::{Deed, Disk};

use crate::chain::{Batch, Chain};
use crate::error::{AuditError, failed};
use crate::fault::{Fault, Finding};
use crate::files::{KeptFile, Listing, LogFile, copy};
use crate::head::Head;
use crate::key::{HostKey, PublicKey};
use crate::lines::{Lines, Piece};
use crate::log::{AuditLog, Options, path};
use crate::metrics::AuditMetrics;
use crate::walk::Walk;

/// What a log held when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The line with which it begins.
    pub first_seq: u64,
    /// Its last line; [`Head::START`] when there is none. It is never before a head that was told: whoever kept one compares
    /// them, for a log that was put back to an older copy opens like any other.
    pub head: Head,
    /// The last line that is signed by a checkpoint; nothing in a log without lines.
    pub signed: Option<Head>,
    /// A last line that was cut, as a crash leaves it. Nobody was told that it is durable. Who opens the log may want to
    /// append an entry about it.
    pub cut: Option<CutLine>,
    /// Files of a pruning that was cut off, now removed.
    pub pruned_files: usize,
}

/// A last line that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutLine {
    /// The file in which it was.
    pub file: String,
    pub bytes: u64,
    /// The file in which it is now.
    pub kept: PathBuf,
}

/// How far the lines of a log go.
struct End<'k> {
    walk: Walk<'k>,
    /// Bytes of whole lines in the last file.
    whole_bytes: u64,
}

impl<D: Disk> AuditLog<D> {
    /// Opens the log in a directory, which is made when there is none. All that it holds is durable then.
    ///
    /// The last file is judged, as [`crate::verify()`] does it for all of them. A last line that was cut by a crash is set
    /// aside and told. The lines of that file are written anew, which for a moment takes its length twice: a sync that failed
    /// before may have left them in memory only.
    /// That a log has one writer at a time is its owner's promise: there is no lock here.
    ///
    /// # Errors
    /// [`AuditError::OtherKey`] when the log is signed by another key, [`AuditError::Damaged`] when the end of the log is
    /// not what was written, and when the disk fails or is full; nothing of the log is lost then.
    pub fn open(
        disk: D,
        dir: &Path,
        options: Options,
        key: HostKey,
    ) -> Result<(AuditLog<D>, Opened), AuditError> {
        disk.create_dir_all(dir).map_err(failed(Deed::MakeDirectory, dir))?;
        let Listing { mut files, mut kept, unfinished, .. } = Listing::read(&disk, dir)?;
        for name in unfinished {
            let path = dir.join(name);
            disk.remove(&path).map_err(failed(Deed::Remove, &path))?;
        }
        let public = key.public();
        let End { walk, whole_bytes } =
            find_end(&disk, dir, &files, &public).map_err(|error| match error {
                AuditError::Damaged { finding, .. } => told(dir, *finding, &key),
                error => error,
            })?;
        let chain = Chain {
            head: walk.head,
            signed: walk.signed.map(|signed| signed.statement),
            unsigned: walk.unsigned,
        };
        let signed = walk.signed.map(|signed| signed.head);
        let cut = match files.last_mut() {
            Some(last) => renew(&disk, dir, last, whole_bytes, &mut kept)?,
            None => None,
        };
        let file = match files.last() {
            Some(last) => {
                let path = path(dir, last);
                Some(disk.open_append(&path).map_err(failed(Deed::Append, &path))?)
            }
            None => None,
        };
        let metrics = AuditMetrics::default();
        metrics.cut_lines.inc_by(u64::from(cut.is_some()));
        let mut log = AuditLog {
            dir: dir.to_owned(),
            options,
            key,
            metrics,
            files,
            file,
            kept,
            chain,
            durable: chain.head,
            poisoned: false,
            batch: Batch::new(chain),
            disk,
        };
        let pruned_files = log.remove_pruned()?.files;
        Ok((log, Opened { first_seq: chain.first(), head: chain.head, signed, cut, pruned_files }))
    }
}

/// Another key is its own error: the remedy is another one.
fn told(dir: &Path, finding: Finding, key: &HostKey) -> AuditError {
    let dir = dir.to_owned();
    match finding.fault {
        Fault::OtherKey { found } => AuditError::OtherKey { dir, found, given: key.public() },
        _ => AuditError::Damaged { dir, finding: Box::new(finding) },
    }
}

/// Judges the last file, and the one before when a crash left the last one without a line.
fn find_end<'k, D: Disk>(
    disk: &D,
    dir: &Path,
    files: &[LogFile],
    key: &'k PublicKey,
) -> Result<End<'k>, AuditError> {
    let Some((last, before)) = files.split_last() else {
        return Ok(End { walk: Walk::new(key), whole_bytes: 0 });
    };
    let end = judge(disk, dir, last, key)?;
    if end.walk.head != Head::START {
        return Ok(end);
    }
    let damaged = |file: &LogFile, fault| {
        let finding = Finding { file: file.name(), line: 0, seq: None, fault };
        Err(AuditError::Damaged { dir: dir.to_owned(), finding: Box::new(finding) })
    };
    let Some(before) = before.last() else {
        return if last.first == 1 {
            Ok(end)
        } else {
            damaged(last, Fault::StartMissing { from: 1, to: last.first.saturating_sub(1) })
        };
    };
    let finished = judge(disk, dir, before, key)?;
    if finished.whole_bytes < before.bytes {
        return damaged(before, Fault::CutWithin);
    }
    if finished.walk.due_seq() != Some(last.first) {
        return damaged(last, Fault::FileName);
    }
    Ok(End { whole_bytes: end.whole_bytes, ..finished })
}

/// The lines of a file; the first thing that is wrong with them is an error.
fn judge<'k, D: Disk>(
    disk: &D,
    dir: &Path,
    file: &LogFile,
    key: &'k PublicKey,
) -> Result<End<'k>, AuditError> {
    let mut walk = Walk::new(key);
    let mut lines = Lines::new(disk, path(dir, file));
    let mut number = 0;
    while let Some(piece) = lines.next()? {
        number += 1;
        let (seq, fault) = match piece {
            Piece::Line(line) => {
                let judged = walk.take(line, number == 1);
                let seq = judged.head.map(|head| head.seq);
                let is_misnamed = number == 1 && seq != Some(file.first);
                let fault = judged.faults.first().copied();
                (seq, fault.or(is_misnamed.then_some(Fault::FileName)))
            }
            Piece::TooLong => (None, Some(Fault::TooLong)),
            Piece::Cut => (None, None),
        };
        if let Some(fault) = fault {
            let finding = Box::new(Finding { file: file.name(), line: number, seq, fault });
            return Err(AuditError::Damaged { dir: dir.to_owned(), finding });
        }
    }
    Ok(End { walk, whole_bytes: lines.whole_bytes() })
}

/// Sets a cut last line aside and writes the lines before it anew.
fn renew<D: Disk>(
    disk: &D,
    dir: &Path,
    last: &mut LogFile,
    whole_bytes: u64,
    kept: &mut Vec<KeptFile>,
) -> Result<Option<CutLine>, AuditError> {
    let name = last.name();
    let cut_bytes = last.bytes - whole_bytes;
    let cut = if cut_bytes > 0 {
        let number = 1 + kept.iter().filter(|file| file.first == last.first).count();
        let kept_name = format!("{name}.cut-{number}");
        copy(disk, dir, &name, (whole_bytes, last.bytes), &kept_name)?;
        let cut = CutLine { file: name.clone(), bytes: cut_bytes, kept: dir.join(&kept_name) };
        kept.push(KeptFile { first: last.first, name: kept_name, bytes: cut_bytes });
        Some(cut)
    } else {
        None
    };
    copy(disk, dir, &name, (0, whole_bytes), &name)?;
    last.bytes = whole_bytes;
    Ok(cut)
}
