//! What is wrong with a configuration, where, and what would be right.

use std::fmt;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Flag(&'static str),
    Environment(String),
    File { path: PathBuf, line: usize },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// Why there are no settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{source_at}: unknown key `{key}`; {hint}")]
    UnknownKey { source_at: Source, key: String, hint: String },
    #[error("{source_at}: {key}: {detail}")]
    BadValue { source_at: Source, key: &'static str, detail: String },
    #[error("{source_at}: this is not TOML: {detail}")]
    NotToml { source_at: Source, detail: String },
    #[error("configuration file {} cannot be read: {detail}", path.display())]
    Unreadable { path: PathBuf, detail: String },
}
