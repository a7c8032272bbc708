//! Where processes work and what they read, as the kernel shows it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How the kernel marks what has been removed (proc(5), `/proc/pid/cwd` and `/proc/pid/fd`).
const REMOVED: &[u8] = b" (deleted)";

/// A process that works, or has its standard input, below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub pid: u32,
    /// Where it works; the name that the directory had, when it was removed.
    pub cwd: PathBuf,
    /// The name of what it reads; none where that has no name.
    pub stdin: Option<PathBuf>,
}

/// The processes, other than our own, that work or have their standard input below this directory, or did before that
/// part of it was removed. The directory is absolute and without links, as the kernel names it. It looks at every
/// process that we may see: milliseconds, for rare questions.
pub fn below(directory: &Path) -> Vec<Place> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id();
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut found: Vec<Place> = pids.filter(|pid| *pid != own).filter_map(place).collect();
    let inside = |path: &Path| path != directory && path.starts_with(directory);
    found.retain(|place| inside(&place.cwd) || place.stdin.as_deref().is_some_and(inside));
    found.sort_by_key(|place| place.pid);
    found
}

/// Whether the standard input of a process is this very file.
pub fn reads(pid: u32, path: &Path) -> bool {
    let (Ok(open), Ok(wanted)) = (fs::metadata(format!("/proc/{pid}/fd/0")), fs::symlink_metadata(path))
    else {
        return false;
    };
    (open.dev(), open.ino()) == (wanted.dev(), wanted.ino())
}

fn place(pid: u32) -> Option<Place> {
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    let stdin = fs::read_link(format!("/proc/{pid}/fd/0")).ok();
    let stdin = stdin.filter(|path| path.is_absolute()).map(|path| unmarked(&path));
    Some(Place { pid, cwd: unmarked(&cwd), stdin })
}

fn unmarked(path: &Path) -> PathBuf {
    let bytes = path.as_os_str().as_bytes();
    OsString::from_vec(bytes.strip_suffix(REMOVED).unwrap_or(bytes).to_vec()).into()
}
