//! Where log files go, their bounds, and what may go wrong.

use std::io;
use std::path::{Path, PathBuf};

use super::name::Rotation;

/// Least bound of a file, in bytes.
const FILE_MIN_BYTES: u64 = 4 << 10;
/// Longest name, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// Where log files go, and their bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesConfig {
    /// Made when it is not there.
    pub directory: PathBuf,
    /// What every file's name begins with: letters, digits, `-` and `_`.
    pub name: String,
    pub rotate_every: Rotation,
    /// Most bytes of a file, at least 4 KiB. A longer line is not written, and counted as lost.
    pub max_file_bytes: u64,
    /// Most bytes of all files of this name together; past it the oldest go.
    pub max_total_bytes: u64,
    /// Most files of this name; past it the oldest go.
    pub max_files: usize,
}

impl FilesConfig {
    /// Files of a day, of 16 MiB at most; 64 of them and 128 MiB in all.
    pub fn new(directory: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            name: name.into(),
            rotate_every: Rotation::Daily,
            max_file_bytes: 16 << 20,
            max_total_bytes: 128 << 20,
            max_files: 64,
        }
    }

    /// Whether the files can be kept so.
    pub(super) fn check(&self) -> Result<(), FilesError> {
        check_name(&self.name)?;
        if self.max_file_bytes < FILE_MIN_BYTES {
            return Err(FilesError::FileBytes { found: self.max_file_bytes });
        }
        if self.max_total_bytes < self.max_file_bytes {
            let (found, file) = (self.max_total_bytes, self.max_file_bytes);
            return Err(FilesError::TotalBytes { found, file });
        }
        if self.max_files == 0 {
            return Err(FilesError::NoFiles);
        }
        Ok(())
    }
}

/// Whether log files can be called so: a name with a dot could be taken for another with a number.
pub(crate) fn check_name(name: &str) -> Result<(), FilesError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > NAME_MAX_BYTES || !name.bytes().all(is_plain) {
        return Err(FilesError::Name { name: name.chars().take(NAME_MAX_BYTES).collect() });
    }
    Ok(())
}

/// Log files cannot be kept, or lines were not written.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("`{name}` cannot be the name of log files: take 1 to 64 letters, digits, `-` and `_`")]
    Name { name: String },
    #[error("a log file of {found} bytes is too small: allow at least {FILE_MIN_BYTES}")]
    FileBytes { found: u64 },
    #[error(
        "log files of {file} bytes do not fit into {found}: allow as much in all as for one file, or more"
    )]
    TotalBytes { found: u64, file: u64 },
    #[error("no log file is allowed: allow at least 1, or do not log to files")]
    NoFiles,
    /// Its lines are lost; the next are tried again.
    #[error("the disk of {} is full: free some space; until then lines are lost", path.display())]
    Full {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Its lines are lost; the next are tried again.
    #[error("{}: no log can be written here: make it writable, or give another directory", path.display())]
    ReadOnly {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "no log can be written to {}: something else stands there, or a link that leads nowhere; move it away, or give \
         another directory",
        path.display()
    )]
    NoDirectory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Its lines are lost; the next are tried again.
    #[error("cannot use the log {}: mend what the cause names, or give another directory", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl FilesError {
    /// What went wrong at `path`.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, source },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, source }
            }
            _ => Self::Io { path, source },
        }
    }

    /// What went wrong when the directory `path` was made.
    pub(super) fn making(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => Self::NoDirectory { path, source },
            _ => Self::at(&path)(source),
        }
    }

    /// What the system said; none for a mistake in the configuration.
    pub(super) fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Full { source, .. }
            | Self::ReadOnly { source, .. }
            | Self::NoDirectory { source, .. }
            | Self::Io { source, .. } => Some(source.kind()),
            Self::Name { .. } | Self::FileBytes { .. } | Self::TotalBytes { .. } | Self::NoFiles => None,
        }
    }
}
