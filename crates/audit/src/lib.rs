//! An audit log that tells when it was tampered with: JSON Lines in a chain of hashes, signed in intervals.
//!
//! The principal type is [`AuditLog`]: [`AuditLog::append`] adds an [`Entry`], [`AuditLog::sync`] makes all of them
//! durable, [`AuditLog::head`] is what others keep of it. [`verify()`] reads a log with nothing but a [`PublicKey`] and tells
//! what was changed, removed, moved, inserted or cut. [`newest_first`] reads it for people. A [`HostKey`] signs. All goes through a [`Disk`](nkudo_journal::Disk).
//!
//! ```
//! use std::path::Path;
//!
//! use jiff::Timestamp;
//! use nkudo_audit::{AuditLog, Entry, Expected, HostKey, Options, verify};
//! use nkudo_journal::SimulatedDisk;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (disk, dir) = (SimulatedDisk::new(), Path::new("/state/audit"));
//! let key = HostKey::load_or_create(&disk, Path::new("/state/audit.key"))?;
//! let public = key.public();
//! let (mut log, _) = AuditLog::open(disk.clone(), dir, Options::default(), key)?;
//!
//! let now: Timestamp = "2026-01-31T10:00:00Z".parse()?;
//! log.append(&Entry::new(now, "orders", "order.cancel", "alice", "succeeded").field("order", 17_u64))?;
//! // One sync for as many entries as came; only then may anybody be told that they are on record.
//! let head = log.sync()?;
//!
//! let report = verify(&disk.crash(), dir, &public, Some(head))?;
//! assert!(report.is_untampered() && report.expected == Expected::Met);
//! # Ok(())
//! # }
//! ```
//!
//! # Format
//! A log is a directory of files, each named by the number of its first line in 20 digits:
//! `00000000000000000001.jsonl`. Each line is a JSON object without white space, ends with `\n`, and has at most
//! [`LINE_MAX_BYTES`] before that. Its members come in this order:
//!
//! | member | value |
//! |---|---|
//! | `seq` | 1 for the first line, then one more each |
//! | `timestamp` | RFC 3339 in UTC with milliseconds, as the writer's clock said |
//! | `component`, `operation`, `actor`, `outcome` | texts of at most 256 bytes |
//! | `fields` | an object of texts, whole numbers and booleans, at most [`FIELDS_MAX`] |
//! | `prev` | the `hash` of the line before; 64 zeros in line 1 |
//! | `signature` | of a checkpoint only |
//! | `hash` | SHA-256 of the line's own bytes up to `,"hash":"`, which is the line without its last 75 bytes |
//!
//! Hashes, keys and signatures are lower-case hexadecimal. As `prev` is among the bytes that are hashed, a hash stands for
//! all lines up to its own. Control characters, and U+2028 and U+2029, are escaped. A text that was cut ends with
//! `… [cut from N bytes]`; field values are cut to the longest of 32 KiB, 16 KiB, and so on, that lets the line fit, and
//! fields over the limit are counted in the field `fields_left_out`.
//!
//! A line with a `signature` is a checkpoint. Each file begins with one.
//!
//! | of a checkpoint | value |
//! |---|---|
//! | `component`, `operation`, `actor`, `outcome` | `audit`, `checkpoint`, `audit`, `signed` |
//! | `fields.first` | the line with which the log begins: what comes before was pruned |
//! | `fields.every` | at most so many lines follow before the next checkpoint |
//! | `fields.key` | the public key |
//! | `signature` | Ed25519 (RFC 8032) over the line's own bytes up to `,"signature":"`, which is the line without its last 218 bytes |
//!
//! Beside these files there may be `*.jsonl.cut-<n>`, a last line that a crash cut off, and `*.new`, a copy that was not
//! finished. The chain without its signatures is verified by
//!
//! ```python
//! import hashlib, json, pathlib, sys
//! seq, prev = None, "0" * 64
//! for file in sorted(pathlib.Path(sys.argv[1]).glob("*.jsonl")):
//!     for line in file.read_bytes().split(b"\n")[:-1]:
//!         entry, hash = json.loads(line), hashlib.sha256(line[:-75]).hexdigest()
//!         assert line[-75:] == b',"hash":"%s"}' % hash.encode(), (file, entry["seq"], "changed")
//!         assert seq in (None, entry["seq"] - 1), (file, entry["seq"], "missing or moved")
//!         assert seq is None or entry["prev"] == prev, (file, entry["seq"], "replaced")
//!         seq, prev = entry["seq"], hash
//! print(seq, prev)
//! ```
//!
//! # What is found, and what is not
//! Without the key nobody changes, removes, moves or inserts a line up to the last checkpoint of the log unnoticed. Two
//! things look like an honest log to whoever sees only the files, and need a [`Head`] that is kept elsewhere:
//!
//! - lines after the last checkpoint that were written anew, at most `fields.every` of them: [`Report::unsigned`];
//! - a log that was cut after any of its lines, or replaced by an older copy of itself, or removed altogether.
//!
//! A head closes both up to its line, so it is told to others often: it costs 40 bytes. Who has the key can write what
//! they like; only a head tells then.
//!
//! # Speed
//! `cargo run --release -p nkudo-audit --example service -- --speed DIR` says what a disk and a processor give.
//!
//! **Invariant:** an entry is written whole or not at all, and who appended it is told when it was not. Nothing is sampled or
//! dropped, and nothing is removed but by [`AuditLog::prune`], which signs what it removes before it does so.
//!
//! **Invariant:** what [`AuditLog::sync`] and [`AuditLog::head`] tell is never taken back by a crash.
//!
//! **Invariant:** after a failed sync nothing more is written until the log is opened anew, and that writes again what was
//! in doubt.
//!
//! **Invariant:** the log is never longer than its limit, and no line than its own. Memory depends on neither.
//!
//! **Invariant:** a key is never printed, and a log is never continued with another one.
//!
//! **Invariant:** there is no lock here: that a directory has one writer at a time is its owner's promise.

mod chain;
mod entry;
mod error;
mod escape;
mod fault;
mod files;
mod head;
mod hex;
mod key;
mod line;
mod lines;
mod log;
mod metrics;
mod reading;
mod verify;
mod walk;

pub use entry::{Entry, FIELDS_MAX, FieldValue};
pub use error::AuditError;
pub use fault::{Fault, Finding};
pub use head::{Hash, Head, NotAHead};
pub use key::{HostKey, KeyError, NotAPublicKey, PublicKey};
pub use line::LINE_MAX_BYTES;
pub use log::{AuditLog, CutLine, Opened, Options, Pruned};
pub use metrics::{AuditMetrics, descs, register};
pub use reading::{Record, newest_first};
pub use verify::{Cut, Expected, FINDINGS_MAX, Report, verify};
