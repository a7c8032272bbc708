//! A handle on one process that can never come to mean another.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::process::{self, Identity};

/// How often [`PidFd::exited`] looks when the kernel cannot wake it, for want of descriptors or watches.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// An open handle on one process, a child or not.
#[derive(Debug)]
pub struct PidFd {
    fd: OwnedFd,
    identity: Identity,
}

/// Why there is no handle.
#[derive(Debug, Error)]
pub enum PidFdError {
    #[error("process {} has ended", .0.pid)]
    Gone(Identity),
    #[error("no handle on process {}", identity.pid)]
    Open {
        identity: Identity,
        #[source]
        source: io::Error,
    },
}

/// What can be sent to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Term,
    Kill,
    Int,
    Hup,
    Stop,
    Cont,
}

impl PidFd {
    /// A handle on that very process: it is looked at again after opening, so a pid that was given to another
    /// process in between is found out.
    ///
    /// # Errors
    /// [`PidFdError::Gone`] when the process is no more, or is a zombie.
    pub fn open(identity: Identity) -> Result<PidFd, PidFdError> {
        let handle = PidFd::open_unchecked(identity)?;
        if process::is_alive(identity) { Ok(handle) } else { Err(PidFdError::Gone(identity)) }
    }

    /// For a child of ours that was not reaped: its pid cannot have been used again, even when it is a zombie. Anybody else
    /// looks at the process again afterwards.
    pub(crate) fn open_unchecked(identity: Identity) -> Result<PidFd, PidFdError> {
        let pid = i32::try_from(identity.pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or(PidFdError::Gone(identity))?;
        match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => Ok(PidFd { fd, identity }),
            // INVAL: the number is that of a thread now.
            Err(Errno::SRCH | Errno::INVAL) => Err(PidFdError::Gone(identity)),
            Err(errno) => Err(PidFdError::Open { identity, source: errno.into() }),
        }
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the process has ended, reaped or not.
    pub fn has_exited(&self) -> bool {
        let mut watched = [PollFd::new(&self.fd, PollFlags::IN)];
        // A failed look is not an end; nobody who asks again later is misled for good.
        poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
    }

    /// Blocks until the process has ended or this time is over.
    pub(crate) fn wait(&self, at_most: Duration) {
        let timeout = Timespec::try_from(at_most).ok();
        // Whoever waits looks again: an interrupted wait is a short one.
        poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], timeout.as_ref()).ok();
    }

    /// Returns when the process has ended; at once when it has already. Cancel safe, and any number may wait.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its I/O and time drivers.
    pub async fn exited(&self) {
        if self.readable().await.is_ok() {
            return;
        }
        while !self.has_exited() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Sends a signal. To a zombie it is sent without effect.
    ///
    /// # Errors
    /// When the process is gone (`ESRCH`) or belongs to somebody else (`EPERM`).
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let signal = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Int => rustix::process::Signal::INT,
            Signal::Hup => rustix::process::Signal::HUP,
            Signal::Stop => rustix::process::Signal::STOP,
            Signal::Cont => rustix::process::Signal::CONT,
        };
        Ok(pidfd_send_signal(&self.fd, signal)?)
    }

    /// On a descriptor of its own, so that several may wait on one handle.
    async fn readable(&self) -> io::Result<()> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, and what it asks for, one descriptor that stays open, OwnedFd gives"
        )]
        let watch = AsyncFd::with_interest(self.fd.try_clone()?, Interest::READABLE)?;
        watch.readable().await.map(drop)
    }
}
