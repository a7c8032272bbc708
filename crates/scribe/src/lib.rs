//! The thread that writes a program's audit log, and what the program does when it cannot.
//!
//! The principal type is [`Scribe`]: [`Scribe::start`] opens the log of a [`Place`] and has a thread of its own write it;
//! [`Scribe::write`] takes entries from anywhere and answers once they are durable, one sync for all that came meanwhile.
//! [`Scribe::room`] says whether the program may begin something new. Another program on the same directory, a command
//! line for example, hands its entries over with [`leave`]: it writes them itself while nobody else does, and leaves them
//! as notes otherwise, which the writer takes up within a second.
//!
//! ```
//! use jiff::Timestamp;
//! use nkudo_scribe::{Entry, Kept, Options, Place, Room, Scribe, ScribeMetrics};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let scribe = Scribe::start(Place::within(dir), Options::default(), ScribeMetrics::default(), || 1_769_853_600_000)?;
//! assert_eq!(scribe.room(), Room::Free);
//!
//! let now: Timestamp = "2026-01-31T10:00:00Z".parse()?;
//! let entry = Entry::new(now, "orders", "order.cancel", "alice", "succeeded").field("order", 17_u64);
//! // Only then may anybody be told that it is on record.
//! assert_eq!(scribe.write(vec![entry]).await, Kept::OnDisk);
//! scribe.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # When it cannot be written
//! Of a log that is full [`Scribe::room`] is [`Room::None`]; where a disk fails, a key is lost, or the log is not one that
//! can be gone on with, it is [`Room::Broken`]. The program is to begin nothing new then. On a disk that is full it is
//! [`Room::Reserve`], as an end of something makes room, also when the program starts on such a disk and cannot open the
//! log. What is under way goes on. Its entries take the reserve, a part of the log that is kept for them: in it
//! [`Scribe::room`] is [`Room::Reserve`]. Beyond that they are written when it works again. What [`Scribe::write`] takes is
//! left as notes meanwhile, which outlive the program, except on a full disk; what is handed over, and can be told again
//! after a crash, waits in memory. Writing is tried every second: a log that cannot be used is opened anew, files past
//! their age are pruned. An opening that fails reads much, so after each one the next is tried later, at most 30 seconds.
//!
//! **Invariant:** entries are written in the order in which they were given, notes behind the others, and none is dropped while
//! at most [`WAITING_MAX`] wait; those beyond that are counted, and the count is written.
//! **Invariant:** what is answered with [`Kept::OnDisk`] is in the log after a crash.
//! **Invariant:** a directory has one writer: whoever writes holds the lock file. A note may be written twice when its
//! writer is killed, never not at all.
//! **Invariant:** what is made belongs to the owner of the [`Place`]'s directory, also where root makes it, so that a service
//! can write on after a command of root.
//! **Invariant:** the reserve is never used by what [`Scribe::room`] did not let in, as far as the program asks.

mod book;
mod error;
mod metrics;
mod notes;
mod owner;
mod pending;
mod place;
mod scribe;
mod shown;
mod watch;

pub use book::WAITING_MAX;
pub use error::ScribeError;
pub use metrics::{ScribeMetrics, descs, register};
pub use nkudo_audit::{Entry, Head};
pub use notes::leave;
pub use place::{Options, Place};
pub use scribe::{Kept, Scribe, Written};
pub use shown::Room;
pub use watch::watch;
