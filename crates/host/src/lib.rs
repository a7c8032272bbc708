//! What a service needs from the Linux host under it: processes, locks, sockets, clocks and hardware.
//!
//! The principal type is [`process::Identity`], a pid together with the start time of the process, because a pid
//! alone is used again. [`spawn::detached`] starts a process that outlives its parent, [`pidfd::PidFd`] waits for
//! the end of any process, [`contained::start`] runs a program to its end with all that it starts, and
//! [`lock::LockedFile`] is a lock that a child inherits, so that it is held exactly as long as somebody lives who was
//! given it.
//!
//! ```
//! use std::fs::File;
//! use std::path::Path;
//!
//! use nkudo_host::{process, spawn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let null = || File::options().read(true).write(true).open("/dev/null");
//! let mut child = spawn::detached(spawn::Detached {
//!     program: Path::new("/bin/sh"),
//!     args: &["-c".into(), "exit 7".into()],
//!     stdin: null()?,
//!     stdout: null()?,
//!     stderr: null()?,
//!     cwd: Path::new("/"),
//!     env: &[],
//! })?;
//! let exit = child.exited().await;
//! assert_eq!(exit.code, Some(7));
//! assert!(!process::is_alive(child.identity()));
//! # Ok(())
//! # }
//! ```
//!
//! **Invariant:** no other crate reads procfs or sysfs, or calls the kernel through nix or rustix.
//!
//! **Invariant:** [`clock::wall_ms`] is the one place that asks for the wall-clock time.
//!
//! **Invariant:** a zombie is not alive, and a pid that now names another process is not alive.
//!
//! **Invariant:** nothing here decides: it tells what is, and does the one thing asked. There is no state but what
//! the kernel keeps, and no knowledge of who asks.

pub mod cgroup;
pub mod clock;
pub mod contained;
pub mod cpu;
pub mod disk;
pub mod facts;
pub mod fifo;
pub mod file;
pub mod limits;
pub mod lock;
pub mod memory;
pub mod net;
pub mod pidfd;
pub mod process;
pub mod spawn;
pub mod terminal;
pub mod unix;

/// Whether this process has the effective rights of root.
pub fn effective_root() -> bool {
    nix::unistd::geteuid().is_root()
}
