//! An append-only journal of checksummed records, and atomic replacement of whole files.
//!
//! The principal type is [`Journal`]: [`Journal::append`] adds a record, [`Journal::sync`] makes all of them durable,
//! [`Journal::open`] gives back what was there ([`Journal::open_each`] one by one), and [`Journal::compact`] replaces
//! everything by a snapshot. [`bytes`] is what payloads may be made of, and a [`Ballast`] is room for the last of them on a
//! full disk. [`spool`] is another thing made of the same segments: a bounded queue of what is to be delivered. All of
//! it goes through a [`Disk`]: [`RealDisk`], or [`SimulatedDisk`], which loses power, rots, fills up and fails when a
//! test says so.
//!
//! ```
//! use std::path::Path;
//!
//! use nkudo_journal::{Journal, JournalError, Options, SimulatedDisk};
//!
//! # fn main() -> Result<(), JournalError> {
//! let disk = SimulatedDisk::new();
//! let (mut journal, _) = Journal::open(disk.clone(), Path::new("/state/journal"), Options::default())?;
//! journal.append(b"kept")?;
//! let durable = journal.sync()?;
//! journal.append(b"written, but not durable")?;
//!
//! let (_, replay) = Journal::open(disk.crash(), Path::new("/state/journal"), Options::default())?;
//! assert_eq!(replay.records, [(durable, b"kept".to_vec())]);
//! assert!(replay.discarded.is_none());
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//! A journal is a directory of segments, each named by the sequence number of its first record in 20 digits:
//! `00000000000000000001.seg`. Integers are little-endian; checksums are CRC-32 (IEEE).
//!
//! | segment header | bytes | |
//! |---|---|---|
//! | magic | 0..8 | `89 4A 52 4E 4C 0D 0A 1A` |
//! | version | 8..10 | 1 |
//! | flags | 10..12 | bit 0: base, it supersedes every older segment |
//! | first sequence number | 12..20 | |
//! | checksum | 20..24 | over bytes 0..20 |
//!
//! | record | bytes | |
//! |---|---|---|
//! | length of the payload | 0..4 | |
//! | checksum | 4..8 | over length, sequence number and payload |
//! | sequence number | 8..16 | one more than that of the record before |
//! | payload | 16.. | |
//!
//! The segment header stays like this in every version, so that a newer one is told from a damaged one. Beside
//! segments there may be `*.seg.new`, a compaction that was cut off, `*.seg.corrupt-<n>`, what was damaged, and `loss`, which
//! tells of that until the owner has it on record.
//!
//! **Invariant:** a record is given back exactly as it was appended, or not at all, and what is given back has no
//! gap: it begins with a base and ends where the first damage is.
//!
//! **Invariant:** what was damaged is told until the owner says that it has taken note, and kept aside, never deleted.
//!
//! **Invariant:** after a failed sync nothing more is written: the kernel may have dropped the data and would say
//! that all is well the second time. The journal is opened anew instead.
//!
//! **Invariant:** there is no lock here: that a directory has one journal at a time is its owner's promise.

mod atomic;
mod ballast;
pub mod bytes;
mod disk;
mod error;
mod format;
mod journal;
mod random;
mod reading;
mod replay;
pub mod spool;

pub use atomic::atomic_replace;
pub use ballast::Ballast;
pub use disk::{Disk, DiskFile, Flipped, RealDisk, RealFile, SimulatedDisk, SimulatedFile};
pub use error::{Deed, JournalError};
pub use format::Seq;
pub use journal::{Journal, Options};
pub use replay::{Discarded, FollowedBy, Reason, Replay, replay_each_read_only, replay_read_only};
