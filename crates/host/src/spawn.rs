//! Children that outlive us.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;

use nix::errno::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};
use thiserror::Error;

use crate::pidfd::{PidFd, PidFdError};
use crate::process::{self, Identity};

/// What to start. The child gets a session of its own, these three descriptors, exactly this environment, and
/// nothing that this process opened; only what the process was itself started with open (beyond the standard three,
/// without close-on-exec) goes on to the child.
#[derive(Debug)]
pub struct Detached<'a> {
    /// An absolute path; a bare name is looked up on the `PATH` of `env`.
    pub program: &'a Path,
    pub args: &'a [OsString],
    /// A locked file here lets the child hold the lock for as long as it lives.
    pub stdin: File,
    pub stdout: File,
    pub stderr: File,
    pub cwd: &'a Path,
    pub env: &'a [(OsString, OsString)],
}

/// Why nothing runs; of [`SpawnError::Unended`] something may.
#[derive(Debug, Error)]
pub enum SpawnError {
    #[error("there is no program {}", .0.display())]
    Missing(PathBuf),
    #[error("{} is not an executable program", .0.display())]
    NotExecutable(PathBuf),
    #[error("{} is no directory to start {} in", cwd.display(), program.display())]
    Directory { program: PathBuf, cwd: PathBuf },
    #[error("{} is no absolute path; give the program's whole path", .0.display())]
    Relative(PathBuf),
    #[error("{0:?} cannot be the name of what is started; give 1 to 128 of A-Z a-z 0-9 . _ : -")]
    Name(String),
    #[error("{0:?} is still running; end it first or give another name")]
    Taken(String),
    #[error("cannot start {}", program.display())]
    Failed {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} was started and ended again, because it cannot be watched", program.display())]
    Unwatched {
        program: PathBuf,
        #[source]
        source: PidFdError,
    },
    /// Never to be tried again: the program has begun, and may still run.
    #[error("{} was started and may still run, because it can be neither watched nor ended ({kill})", program.display())]
    Unended {
        program: PathBuf,
        kill: io::Error,
        #[source]
        source: PidFdError,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The status it exited with.
    pub code: Option<i32>,
    /// The signal that ended it. Both are none when somebody else reaped the process, and when it has not ended.
    pub signal: Option<i32>,
}

/// A child of ours. Dropping it does not end the process.
///
/// A child that ends stays a zombie until its parent reaps it or ends itself. So whoever starts one keeps this value
/// and calls [`Child::exited`], or [`Child::try_reap`] once a [`PidFd`] has told of the end.
#[derive(Debug)]
#[must_use = "a child that is not reaped stays a zombie"]
pub struct Child {
    process: std::process::Child,
    pidfd: PidFd,
    exit: Option<Exit>,
}

/// Starts a process.
///
/// # Errors
/// Each names the program; nothing runs then, unless it says so.
pub fn detached(what: Detached<'_>) -> Result<Child, SpawnError> {
    started(what, Within::default())
}

/// What a child enters before its program begins, beside a session of its own.
#[derive(Debug, Default)]
pub(crate) struct Within {
    /// `cgroup.procs` of control groups, open for writing.
    pub(crate) groups: Vec<File>,
    /// It and all that it starts can gain no right by running a program (setuid, file capabilities).
    pub(crate) no_new_privileges: bool,
}

/// Starts a process that enters `within` first.
pub(crate) fn started(what: Detached<'_>, within: Within) -> Result<Child, SpawnError> {
    started_and_watched(what, within, watch)
}

fn started_and_watched(
    what: Detached<'_>,
    within: Within,
    watch: impl FnOnce(u32) -> Result<PidFd, PidFdError>,
) -> Result<Child, SpawnError> {
    let Detached { program, args, stdin, stdout, stderr, cwd, env } = what;
    if !cwd.is_dir() {
        return Err(SpawnError::Directory { program: program.to_owned(), cwd: cwd.to_owned() });
    }
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)))
        .current_dir(cwd)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    in_a_session_of_its_own(&mut command, within);
    let mut process = command.spawn().map_err(|source| spawn_error(program, source))?;
    match watch(process.id()) {
        Ok(pidfd) => Ok(Child { process, pidfd, exit: None }),
        Err(source) => {
            // A child that nobody would wait for must not be left behind.
            let ended = process.kill().and_then(|()| process.wait());
            let program = program.to_owned();
            Err(match ended {
                Ok(_) => SpawnError::Unwatched { program, source },
                Err(kill) => SpawnError::Unended { program, kill, source },
            })
        }
    }
}

/// A process group whose last parent outside of it ends is sent SIGHUP when one of its members is stopped. A group of
/// its own is not enough against that; a session of its own is. The child itself enters its control groups, so that
/// nothing that it starts can be outside of them.
#[expect(
    unsafe_code,
    reason = "std has no safe way into a new session or a control group; see docs/adr/0004"
)]
fn in_a_session_of_its_own(command: &mut Command, within: Within) {
    let enter = move || -> Result<(), Errno> {
        for group in &within.groups {
            // 0 is the writer.
            nix::unistd::write(group, b"0")?;
        }
        nix::unistd::setsid()?;
        if within.no_new_privileges { nix::sys::prctl::set_no_new_privs() } else { Ok(()) }
    };
    // SAFETY: between fork and exec only write, setsid and prctl are called, on descriptors that were opened before.
    // The first two are async-signal-safe; the third is a bare system call. None allocates or takes a lock, nor does the
    // walk over a list that is there, or making an `io::Error` of an errno.
    unsafe {
        command.pre_exec(move || enter().map_err(io::Error::from));
    }
}

fn watch(pid: u32) -> Result<PidFd, PidFdError> {
    let identity =
        process::identity_of_unreaped(pid).ok_or(PidFdError::Gone(Identity { pid, start_ticks: 0 }))?;
    PidFd::open_unchecked(identity)
}

fn spawn_error(program: &Path, source: io::Error) -> SpawnError {
    let bare = program.components().count() == 1 && !program.is_absolute();
    match source.raw_os_error().map(Errno::from_raw) {
        // A script whose interpreter is missing says ENOENT too.
        Some(Errno::ENOENT) if bare || !program.exists() => SpawnError::Missing(program.to_owned()),
        Some(Errno::EACCES | Errno::ENOEXEC) => SpawnError::NotExecutable(program.to_owned()),
        _ => SpawnError::Failed { program: program.to_owned(), source },
    }
}

impl Child {
    pub fn identity(&self) -> Identity {
        self.pidfd.identity()
    }

    pub fn pidfd(&self) -> &PidFd {
        &self.pidfd
    }

    /// Reaps the child when it has ended, and from then on tells how.
    pub fn try_reap(&mut self) -> Option<Exit> {
        if self.exit.is_none() {
            self.exit = match self.process.try_wait() {
                Ok(status) => status.map(Exit::from),
                // Reaped behind our back: that it ended is all that can be known.
                Err(_) if self.pidfd.has_exited() => Some(Exit { code: None, signal: None }),
                Err(_) => None,
            };
        }
        self.exit
    }

    /// Waits for the end, reaps the child and tells how it ended. Cancel safe.
    ///
    /// # Panics
    /// As [`PidFd::exited`].
    pub async fn exited(&mut self) -> Exit {
        loop {
            self.pidfd.exited().await;
            if let Some(exit) = self.try_reap() {
                return exit;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Reaps the child now, or else when it ends, be it long after this value is gone: a thread waits for that.
    pub(crate) fn reap_in_the_end(&mut self) {
        if self.try_reap().is_some() {
            return;
        }
        // Nobody else reaps it, so the pid is the child's until then.
        let Some(pid) = i32::try_from(self.identity().pid).ok().and_then(Pid::from_raw) else { return };
        let reap = move || {
            while waitpid(Some(pid), WaitOptions::empty())
                .is_err_and(|error| error == rustix::io::Errno::INTR)
            {}
        };
        // Without a thread it stays a zombie until this process ends.
        drop(thread::Builder::new().name("reaper".to_owned()).spawn(reap));
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        Exit { code: status.code(), signal: status.signal() }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with status {code}"),
            (None, Some(signal)) => write!(f, "killed by signal {signal}"),
            (None, None) => f.write_str("ended, it is not known how"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_is_neither_watched_nor_ended_did_not_fail_to_start() {
        let null = || File::options().read(true).write(true).open("/dev/null").unwrap();
        let (program, args) = (Path::new("/bin/sleep"), &["0".into()]);
        let (stdin, stdout, stderr) = (null(), null(), null());
        let what = Detached { program, args, stdin, stdout, stderr, cwd: Path::new("/"), env: &[] };
        // Reaped behind our back, it can be neither killed nor waited for.
        let unwatched = |pid| {
            waitpid(Pid::from_raw(i32::try_from(pid).unwrap()), WaitOptions::empty()).unwrap();
            Err(PidFdError::Gone(Identity { pid, start_ticks: 0 }))
        };
        let error = started_and_watched(what, Within::default(), unwatched).unwrap_err();
        assert!(matches!(error, SpawnError::Unended { .. }), "{error:?}");
    }
}
