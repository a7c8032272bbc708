//! Where a chain of hashes stands.

use std::fmt;
use std::str::FromStr;

use ring::digest;
use thiserror::Error;

use crate::hex;

/// A SHA-256. As text 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What the first line of a log follows.
    pub const ZERO: Hash = Hash([0; 32]);

    pub const fn from_bytes(bytes: [u8; 32]) -> Hash {
        Hash(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn of(bytes: &[u8]) -> Hash {
        let mut hash = Hash::ZERO;
        hash.0.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        hash
    }
}

/// A line of a log and its hash, which stands for that line and everything before it. As text `SEQ:HASH`.
///
/// Whoever keeps a head where the log's owner cannot reach it finds out when the log is later written anew, or cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the line; zero when there is none yet.
    pub seq: u64,
    pub hash: Hash,
}

impl Head {
    /// That of a log without lines.
    pub const START: Head = Head { seq: 0, hash: Hash::ZERO };
}

/// A text that is no head or no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a head is written SEQ:HASH, with the hash in 64 lower-case hexadecimal digits")]
pub struct NotAHead;

impl FromStr for Hash {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Hash, NotAHead> {
        hex::read(text.as_bytes()).map(Hash).ok_or(NotAHead)
    }
}

impl FromStr for Head {
    type Err = NotAHead;

    fn from_str(text: &str) -> Result<Head, NotAHead> {
        let (seq, hash) = text.split_once(':').ok_or(NotAHead)?;
        Ok(Head { seq: seq.parse().map_err(|_| NotAHead)?, hash: hash.parse()? })
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::text(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}
