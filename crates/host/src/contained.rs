//! A program run to its end, with all that it starts: seen whole, measured whole and ended whole.
//!
//! [`start`] runs one program in a session of its own, in control groups of its own where the host lets us, and without
//! a way to new privileges. [`Running::ended`] keeps the first bytes of what it says and tells how it ended and what it
//! used; nothing that it started outlives that. After a crash of ours, [`end_left_over`] ends what an earlier life of the
//! same [`Owner`] has left.
//!
//! ```
//! use std::path::Path;
//!
//! use nkudo_host::contained::{Contained, Owner, end_left_over, start};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let owner = Owner::new("/var/lib/example, which I hold locked");
//! // Once, before anything is started.
//! end_left_over(&owner)?;
//! let mut running = start(Contained {
//!     program: Path::new("/bin/sh"),
//!     args: &["-c".into(), "sleep 600 & echo done; exit 7".into()],
//!     cwd: Path::new("/"),
//!     env: &[("PATH".into(), "/usr/bin:/bin".into())],
//!     name: "job:1",
//!     owner: &owner,
//!     output_max: 64 * 1024,
//! })?;
//! let ended = running.ended().await;
//! assert_eq!((ended.exit.code, ended.stdout.bytes.as_slice()), (Some(7), b"done\n".as_slice()));
//! # Ok(())
//! # }
//! ```
//!
//! A bound on its time is the caller's: `timeout` around [`Running::ended`], then [`Running::kill`], then
//! [`Running::ended`] again for what there is to tell.
//!
//! How its processes are found:
//! - In a control group (version 2, also beside version 1, else the freezer and the CPU accounting of version 1) a process
//!   cannot leave it without rights over the group, and all die together, however fast they fork.
//! - Everywhere, and alone where no group can be made: the process group, the session, parents, and a mark in the
//!   environment ([`MARK`]) that is inherited. **Invariant:** what has the session, the parents and the environment of
//!   somebody else is out of reach then; that takes a program that means to escape.
//!
//! What is run is a program of this machine, or a script whose first line names its interpreter (`#!`). The C library would hand
//! anything else that is executable to a shell (`execvp(3)`).
//!
//! What the numbers are:
//! - CPU time is what the group counted: of all its processes, to the microsecond. Without a group it is that of the
//!   first process and of all that were waited for, and of those that had to be ended, to the clock tick (10 ms).
//! - Memory is the most that was seen: of all processes together at one look, and of each alone at any time (`VmHWM`). A
//!   page that several share counts for each. A look is taken when the program starts, and then after 2 ms, 4 ms and so on
//!   up to 250 ms, as long as somebody awaits [`Running::ended`]. The peaks that control groups tell are not used: they count
//!   the cache of each file that was read, which is nobody's resident memory. What starts and ends between two looks is
//!   missed: zero says that none was seen, which is common for programs of under a millisecond and happens up to some
//!   milliseconds.

mod aside;
mod group;
mod image;
mod killing;
mod left_over;
mod members;
mod output;
mod owner;
mod peak;
mod running;

pub use left_over::end_left_over;
pub use output::Captured;
pub use owner::{Groups, MARK, Owner};
pub use running::{Contained, Ended, Running, start};
