//! One that runs, from its start to its end.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::group::Group;
use super::image;
use super::killing::{Reach, Round};
use super::members;
use super::output::{Captured, Stream};
use super::owner::{MARK, Owner, is_name};
use super::peak::Peak;
use crate::process::Identity;
use crate::spawn::{Child, Detached, Exit, SpawnError, Within, started};

/// How long output is still read when all processes have ended: somebody else was given the pipe, and keeps it.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);

/// What to run. It reads `/dev/null`, and gets exactly this environment and [`MARK`]. Nothing that this process opened
/// goes on to it; only what the process was itself started with open (beyond the standard three, without close-on-exec).
#[derive(Debug, Clone, Copy)]
pub struct Contained<'a> {
    /// An absolute path.
    pub program: &'a Path,
    pub args: &'a [OsString],
    pub cwd: &'a Path,
    pub env: &'a [(OsString, OsString)],
    /// Names it among all that this owner starts: `[A-Za-z0-9._:-]{1,128}`.
    pub name: &'a str,
    pub owner: &'a Owner,
    /// Bytes kept of each stream.
    pub output_max: usize,
}

/// One that runs. Dropping it ends all its processes, and blocks until they are gone, for ten seconds at most.
#[must_use = "dropping it ends the program"]
pub struct Running {
    child: Child,
    group: Group,
    reach: Arc<Reach>,
    /// Begun, and not awaited to its end yet.
    round: Option<Round>,
    stdout: Stream,
    stderr: Stream,
    peak: Peak,
    left: Vec<Identity>,
    ended: Option<Ended>,
}

/// How it ended, what it said and what it used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Of the program itself; it tells nothing when [`Ended::left`] names the program's first process and that lives on.
    pub exit: Exit,
    pub stdout: Captured,
    pub stderr: Captured,
    /// CPU time in user and kernel mode, of all its processes; the module says how well it is known.
    pub cpu: Duration,
    /// The most resident memory that was seen; the module says of whom.
    pub peak_memory_bytes: u64,
    /// Processes of it that SIGKILL did not end within ten seconds, as they wait in the kernel. None in all but broken
    /// hosts.
    pub left: Vec<Identity>,
}

/// Runs a program. It looks through all processes for others of this name, and blocks until the program has begun:
/// milliseconds.
///
/// # Errors
/// Each names the program or what is wrong with the question; nothing runs then, unless it says so.
///
/// # Panics
/// Outside of a tokio runtime with its I/O and time drivers.
pub fn start(what: Contained<'_>) -> Result<Running, SpawnError> {
    let Contained { program, name, owner, output_max, .. } = what;
    if !program.is_absolute() {
        return Err(SpawnError::Relative(program.to_owned()));
    }
    if !is_name(name) {
        return Err(SpawnError::Name(name.to_owned()));
    }
    if !image::can_be_run(program) {
        return Err(SpawnError::NotExecutable(program.to_owned()));
    }
    let taken = || SpawnError::Taken(name.to_owned());
    if members::of_owner(owner).iter().any(|(_, known)| known == name) {
        return Err(taken());
    }
    let failed = |source: io::Error| SpawnError::Failed { program: program.to_owned(), source };
    let streams = Streams {
        stdout: Stream::new(output_max).map_err(failed)?,
        stderr: Stream::new(output_max).map_err(failed)?,
    };
    // Last, so that nothing but the program itself can fail and leave it.
    let group = Group::make(owner, name).map_err(|_| taken())?;
    start_in(group, streams, what)
}

/// What we read of a program, and what it writes to.
struct Streams {
    stdout: (Stream, File),
    stderr: (Stream, File),
}

/// Runs a program in a group, or without when it cannot enter.
fn start_in(group: Group, streams: Streams, what: Contained<'_>) -> Result<Running, SpawnError> {
    let Contained { program, args, cwd, env, name, owner, output_max: _ } = what;
    let Streams { stdout: (stdout, stdout_writer), stderr: (stderr, stderr_writer) } = streams;
    let failed = |source: io::Error| SpawnError::Failed { program: program.to_owned(), source };
    let mark = owner.mark(name);
    let mut env: Vec<_> = env.iter().filter(|(name, _)| name != OsStr::new(MARK)).cloned().collect();
    env.push((MARK.into(), mark.clone().into()));
    let spawn = |groups: Vec<File>| {
        let stdin = File::open("/dev/null").map_err(failed)?;
        let stdout = stdout_writer.try_clone().map_err(failed)?;
        let stderr = stderr_writer.try_clone().map_err(failed)?;
        let detached = Detached { program, args, stdin, stdout, stderr, cwd, env: &env };
        started(detached, Within { groups, no_new_privileges: true })
    };
    let enter = |group: &Group| group.doors().map_err(failed).and_then(&spawn);
    let (child, group) = begin(group, enter)?;
    let reach = Arc::new(Reach::new(group.clone(), mark, child.identity()));
    let peak = Peak::new();
    peak.look(&reach);
    Ok(Running { child, group, reach, round: None, stdout, stderr, peak, left: Vec::new(), ended: None })
}

/// Starts it in its group, or without when that could not be entered; tells in which it is.
fn begin<Started>(
    mut group: Group,
    enter: impl Fn(&Group) -> Result<Started, SpawnError>,
) -> Result<(Started, Group), SpawnError> {
    match enter(&group) {
        Ok(started) => Ok((started, group)),
        // It may be the group that could not be entered; the program did not begin. If it was not, it fails again.
        Err(SpawnError::Failed { .. } | SpawnError::NotExecutable(_)) if !group.is_none() => {
            group.remove_blocking();
            let none = Group::default();
            Ok((enter(&none)?, none))
        }
        Err(error) => {
            // Of one that was started and could not be watched, something may be left.
            group.kill();
            group.remove_blocking();
            Err(error)
        }
    }
}

impl Running {
    /// Of the program itself.
    pub fn identity(&self) -> Identity {
        self.child.identity()
    }

    /// Whether it is in a control group of its own.
    pub fn is_grouped(&self) -> bool {
        !self.group.is_none()
    }

    /// Waits for the end of the program, ends whatever it has left, and tells of it, at each call anew. Output is read
    /// only while somebody awaits this: a program that says much waits otherwise. Cancel safe.
    ///
    /// When [`Running::kill`] gave up on the program's first process, as the kernel holds that, its end is not waited for.
    /// It is reaped when it comes.
    pub async fn ended(&mut self) -> Ended {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        if !self.is_held() {
            self.watch().await;
            self.kill().await;
        }
        let drain = async { tokio::join!(self.stdout.fill(), self.stderr.fill()) };
        // Not to the end: the streams say so.
        drop(tokio::time::timeout(DRAIN_WITHIN, drain).await);
        let (cpu, peak_memory_bytes) = (self.reach.cpu(), self.peak.bytes());
        self.round = None;
        self.reach.settle();
        let exit = if self.is_held() { Exit { code: None, signal: None } } else { self.child.exited().await };
        let ended = Ended {
            exit,
            stdout: self.stdout.take(),
            stderr: self.stderr.take(),
            cpu,
            peak_memory_bytes,
            left: self.left.clone(),
        };
        self.ended = Some(ended.clone());
        self.group.removed().await;
        ended
    }

    /// Sends SIGKILL to all its processes, again and again, and waits until none is left; for ten seconds at most.
    /// [`Running::ended`] tells how it was. Cancel safe.
    pub async fn kill(&mut self) {
        if self.ended.is_none() {
            self.left = self.reach.kill(&mut self.round).await;
        }
    }

    /// Whether the program's first process was given up, and lives on.
    fn is_held(&self) -> bool {
        self.left.contains(&self.child.identity()) && !self.child.pidfd().has_exited()
    }

    /// Reads and measures until the program itself has ended.
    async fn watch(&mut self) {
        let Running { child, reach, stdout, stderr, peak, .. } = self;
        let exited = pin!(child.pidfd().exited());
        let meanwhile = async { tokio::join!(stdout.fill(), stderr.fill(), peak.watch(reach)) };
        // Cancel safe as each of the four is.
        tokio::select! {
            () = exited => {}
            _ = meanwhile => {}
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.reach.kill_blocking();
        }
        self.round = None;
        self.reach.settle();
        self.child.reap_in_the_end();
        self.group.remove_blocking();
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Running { child, reach, ended, .. } = self;
        f.debug_struct("Running")
            .field("child", child)
            .field("reach", reach)
            .field("ended", ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::pidfd::PidFdError;

    #[test]
    fn what_has_begun_is_not_begun_again_without_its_group() {
        let program = || Path::new("/bin/true").to_owned();
        let gone = || PidFdError::Gone(Identity { pid: 1, start_ticks: 0 });
        let check = |expected: usize, error: &dyn Fn() -> SpawnError| {
            let directory = tempfile::tempdir().unwrap();
            let tries = Cell::new(0);
            let enter = |_: &Group| {
                tries.set(tries.get() + 1);
                Err::<(), _>(error())
            };
            begin(Group::of_unified(directory.path().join("group")), enter).unwrap_err();
            assert_eq!(tries.get(), expected, "{:?}", error());
        };
        check(2, &|| SpawnError::Failed { program: program(), source: io::Error::other("no") });
        check(2, &|| SpawnError::NotExecutable(program()));
        check(1, &|| SpawnError::Missing(program()));
        check(1, &|| SpawnError::Unwatched { program: program(), source: gone() });
        let kill = || io::Error::other("no");
        check(1, &|| SpawnError::Unended { program: program(), kill: kill(), source: gone() });
    }

    #[tokio::test]
    async fn a_group_that_cannot_be_entered_is_gone_without() {
        let directory = tempfile::tempdir().unwrap();
        // As a group that takes no processes: it opens, and each write fails.
        let group = directory.path().join("group");
        std::fs::create_dir(&group).unwrap();
        symlink("/dev/full", group.join("cgroup.procs")).unwrap();
        let (program, owner) = (Path::new("/bin/echo"), Owner::new("goes without"));
        let what = Contained {
            program,
            args: &["once".into()],
            cwd: Path::new("/"),
            env: &[],
            name: "a",
            owner: &owner,
            output_max: 100,
        };
        let stream = || Stream::new(what.output_max).unwrap();
        let streams = Streams { stdout: stream(), stderr: stream() };
        let mut running = start_in(Group::of_unified(group), streams, what).unwrap();
        assert!(!running.is_grouped());
        let ended = running.ended().await;
        assert_eq!((ended.exit.code, ended.stdout.bytes.as_slice()), (Some(0), b"once\n".as_slice()));
    }
}
