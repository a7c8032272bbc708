//! The files of a log.

use std::path::Path;

use nkudo_journal::{Deed, Disk, DiskFile as _};

use crate::error::{AuditError, failed};

/// Files are copied in pieces of this size.
const COPY_BYTES: u64 = 256 * 1024;
/// Digits of the number in a file's name, so that names sort as numbers do.
const DIGITS: usize = 20;
const EXTENSION: &str = ".jsonl";

/// A file with lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogFile {
    /// The number of its first line, which is its name.
    pub(crate) first: u64,
    pub(crate) bytes: u64,
}

impl LogFile {
    pub(crate) fn name(&self) -> String {
        name(self.first)
    }
}

pub(crate) fn name(first: u64) -> String {
    format!("{first:0DIGITS$}{EXTENSION}")
}

/// A last line that was cut, in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptFile {
    /// The number of the first line of the file that it was in.
    pub(crate) first: u64,
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// What is in the directory of a log.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// In the order of their lines.
    pub(crate) files: Vec<LogFile>,
    pub(crate) kept: Vec<KeptFile>,
    /// Copies that were cut off.
    pub(crate) unfinished: Vec<String>,
    /// Files that a reader would take for some of the log.
    pub(crate) strange: Vec<String>,
}

impl Listing {
    pub(crate) fn read<D: Disk>(disk: &D, dir: &Path) -> Result<Listing, AuditError> {
        let mut listing = Listing::default();
        let length = |name: &str| {
            let path = dir.join(name);
            disk.length(&path).map_err(failed(Deed::Read, &path))
        };
        let mut names = disk.list(dir).map_err(failed(Deed::List, dir))?;
        names.sort_unstable();
        for name in names {
            match parse(&name) {
                Some((first, "")) => listing.files.push(LogFile { first, bytes: length(&name)? }),
                Some((_, rest)) if rest.ends_with(".new") => listing.unfinished.push(name),
                Some((first, rest)) if rest.starts_with(".cut-") => {
                    listing.kept.push(KeptFile { first, bytes: length(&name)?, name });
                }
                Some(_) | None if name.ends_with(EXTENSION) => listing.strange.push(name),
                Some(_) | None => {}
            }
        }
        Ok(listing)
    }
}

/// The number in a name, and what comes after the extension.
fn parse(name: &str) -> Option<(u64, &str)> {
    let (digits, rest) = name.split_at_checked(DIGITS)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let rest = rest.strip_prefix(EXTENSION)?;
    // Lines are counted from one.
    let first = digits.parse().ok().filter(|first| is_number && *first > 0)?;
    Some((first, rest))
}

/// Gives a file the content of a part of another, or of itself, durably. A crash at any point leaves the old content or
/// the new, whole. What is newly written is surely on the disk after this, which a sync of an old file is not: a sync that
/// failed before, perhaps in another program, may have left it in memory only.
pub(crate) fn copy<D: Disk>(
    disk: &D,
    dir: &Path,
    from: &str,
    (mut offset, end): (u64, u64),
    to: &str,
) -> Result<(), AuditError> {
    let (from, to) = (dir.join(from), dir.join(to));
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    let mut write = || {
        let mut file = disk.create_new(unfinished).map_err(failed(Deed::Create, unfinished))?;
        while offset < end {
            let piece = disk.read_at(&from, offset, COPY_BYTES.min(end - offset));
            let piece = piece.map_err(failed(Deed::Read, &from))?;
            if piece.is_empty() {
                return Err(failed(Deed::Read, &from)(std::io::ErrorKind::UnexpectedEof.into()));
            }
            file.append(&piece).map_err(failed(Deed::Append, unfinished))?;
            offset += piece.len() as u64;
        }
        file.sync().map_err(failed(Deed::Sync, unfinished))
    };
    write().inspect_err(|_| {
        // The first failure is the one to tell; what is left is removed by the next opening.
        drop(disk.remove(unfinished));
    })?;
    disk.rename(unfinished, &to).map_err(failed(Deed::Rename, unfinished))?;
    disk.sync_dir(dir).map_err(failed(Deed::Sync, dir))
}
