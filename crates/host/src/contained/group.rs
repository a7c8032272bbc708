//! The control groups of one that is contained.
//!
//! Sources: the kernel's "Control Group v2" (`cgroup.kill`, `cgroup.freeze`, `cpu.stat`), "Cgroup Freezer" and "CPU
//! Accounting Controller" of version 1.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{Timespec, poll};

use super::owner::{Groups, Owner};
use crate::cgroup;
use crate::pidfd::{PidFd, Signal};
use crate::process::{Kin, handle};

/// How often a freezer is asked whether all have stopped. Asking drives it on; what it did not stop yet is ended all the
/// same, and looked for again.
const FREEZE_LOOKS: usize = 100;
const FREEZE_PAUSE: Duration = Duration::from_millis(1);

/// How many processes are held at once while they are ended one by one; each takes a descriptor.
const HANDLES_MAX: usize = 256;

/// A group can be busy for a moment after its last process has ended.
const REMOVE_TRIES: usize = 1_000;
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

/// How many groups are looked at: more than a busy host has.
const TREE_MAX: usize = 20_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Version 2: ends and accounts.
    Unified,
    /// Version 1: stops all, so that none forks while they are ended one by one.
    Freezer,
    /// Version 1: CPU time.
    Accounting,
}

/// What one that is contained has of each hierarchy; nothing, when no group could be made.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    parts: Vec<(Kind, PathBuf)>,
}

/// Somebody is in a group that should be made anew.
#[derive(Debug)]
pub(super) struct Occupied;

impl Group {
    /// Makes it anew. What cannot be made is not in it.
    ///
    /// # Errors
    /// When there is one already, with processes in it.
    pub(super) fn make(owner: &Owner, name: &str) -> Result<Group, Occupied> {
        const UNIFIED: &[Kind] = &[Kind::Unified];
        const LEGACY: &[Kind] = &[Kind::Freezer, Kind::Accounting];
        let tries: &[&[Kind]] = match owner.groups() {
            Groups::Any => &[UNIFIED, LEGACY],
            Groups::Unified => &[UNIFIED],
            Groups::Legacy => &[LEGACY],
            Groups::None => &[],
        };
        for kinds in tries {
            let mut group = Group::default();
            for kind in *kinds {
                let Some(path) = ours(*kind).map(|ours| ours.join(owner.directory(name))) else { continue };
                match make(&path) {
                    Ok(true) => group.parts.push((*kind, path)),
                    Ok(false) => {}
                    Err(occupied) => {
                        group.remove_blocking();
                        return Err(occupied);
                    }
                }
            }
            if !group.is_none() {
                return Ok(group);
            }
        }
        Ok(Group::default())
    }

    /// Those that an earlier life of this owner left, each with its name; wherever they are, as that life may have been in
    /// another group than this one.
    pub(super) fn left_by(owner: &Owner) -> Vec<(String, Group)> {
        let parts = [Kind::Unified, Kind::Freezer, Kind::Accounting].into_iter().flat_map(|kind| {
            let groups = mount(kind).map(|mount| tree(&mount)).unwrap_or_default();
            groups.into_iter().map(move |path| (kind, path))
        });
        let ours = parts.filter_map(|(kind, path)| {
            let name = owner.name_in_directory(path.file_name()?.to_str()?)?.to_owned();
            Some((name, Group { parts: vec![(kind, path)] }))
        });
        ours.collect()
    }

    /// One of version 2 that is there.
    #[cfg(test)]
    pub(super) fn of_unified(path: PathBuf) -> Group {
        Group { parts: vec![(Kind::Unified, path)] }
    }

    pub(super) fn is_none(&self) -> bool {
        self.parts.is_empty()
    }

    /// What a child writes itself to.
    pub(super) fn doors(&self) -> io::Result<Vec<File>> {
        self.parts.iter().map(|(_, path)| door(path)).collect()
    }

    /// Its living processes.
    pub(super) fn members(&self) -> Vec<Kin> {
        let mut pids: Vec<u32> = self.parts.iter().flat_map(|(_, path)| pids(path)).collect();
        pids.sort_unstable();
        pids.dedup();
        pids.into_iter().filter_map(Kin::of).filter(|kin| kin.alive).collect()
    }

    /// Sends SIGKILL to all of them. It blocks: for milliseconds, and a tenth of a second where the kernel holds one.
    pub(super) fn kill(&self) {
        for (kind, path) in &self.parts {
            match kind {
                Kind::Unified if write(path, "cgroup.kill", "1") => {}
                // Before Linux 5.14. A frozen process of version 2 can be ended.
                Kind::Unified => {
                    write(path, "cgroup.freeze", "1");
                    kill_each(path);
                }
                Kind::Freezer => {
                    write(path, "freezer.state", "FROZEN");
                    let frozen = || {
                        fs::read_to_string(path.join("freezer.state")).is_ok_and(|state| state == "FROZEN\n")
                    };
                    (0..FREEZE_LOOKS).find(|look| {
                        if *look > 0 {
                            pause(FREEZE_PAUSE);
                        }
                        frozen()
                    });
                    kill_each(path);
                    write(path, "freezer.state", "THAWED");
                }
                Kind::Accounting => kill_each(path),
            }
        }
    }

    /// The CPU time of all that were ever in it.
    pub(super) fn cpu(&self) -> Option<Duration> {
        self.parts.iter().find_map(|(kind, path)| match kind {
            Kind::Unified => usage(&fs::read_to_string(path.join("cpu.stat")).ok()?),
            Kind::Freezer => None,
            Kind::Accounting => {
                let nanos = fs::read_to_string(path.join("cpuacct.usage")).ok()?.trim().parse().ok()?;
                Some(Duration::from_nanos(nanos))
            }
        })
    }

    /// Removes it when it is empty; tells whether it is gone.
    pub(super) fn remove(&mut self) -> bool {
        self.parts.retain(|(_, path)| {
            remove(path);
            path.exists()
        });
        self.parts.is_empty()
    }

    /// Removes it, once it is empty; tells whether it is gone. Blocks for a fifth of a second at most.
    pub(super) fn remove_blocking(&mut self) -> bool {
        for _ in 0..REMOVE_TRIES {
            if self.remove() {
                return true;
            }
            pause(REMOVE_PAUSE);
        }
        false
    }

    /// As [`Group::remove_blocking`]. Cancel safe.
    pub(super) async fn removed(&mut self) {
        for _ in 0..REMOVE_TRIES {
            if self.remove() {
                return;
            }
            tokio::time::sleep(REMOVE_PAUSE).await;
        }
    }
}

/// Whether it was made. One that was left empty is made anew, so that it counts from zero.
fn make(path: &Path) -> Result<bool, Occupied> {
    let mut made = fs::create_dir(path);
    if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
        remove(path);
        made = fs::create_dir(path);
        if made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            return Err(Occupied);
        }
    }
    // No such file where that is no control group, or the right to enter is missing.
    let enters = made.is_ok() && door(path).is_ok();
    if made.is_ok() && !enters {
        remove(path);
    }
    Ok(enters)
}

fn door(path: &Path) -> io::Result<File> {
    File::options().write(true).open(path.join("cgroup.procs"))
}

/// Removes a group and those inside of it, the inner ones first, as far as they are empty.
fn remove(path: &Path) {
    for group in tree(path).iter().rev() {
        // One that is busy makes the outer one so.
        fs::remove_dir(group).ok();
    }
}

fn mount(kind: Kind) -> Option<PathBuf> {
    match kind {
        Kind::Unified => cgroup::unified_mount(),
        Kind::Freezer => Some(Path::new(cgroup::MOUNTED_AT).join("freezer")),
        Kind::Accounting => Some(Path::new(cgroup::MOUNTED_AT).join("cpuacct")),
    }
}

/// The directory of the group that we are in, below which ours are made.
fn ours(kind: Kind) -> Option<PathBuf> {
    let controller = match kind {
        Kind::Unified => "",
        Kind::Freezer => "freezer",
        Kind::Accounting => "cpuacct",
    };
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    Some(mount(kind)?.join(cgroup::group_of(&text, controller)?))
}

/// A group and all inside of it, the outer ones first.
fn tree(path: &Path) -> Vec<PathBuf> {
    let mut groups = vec![path.to_owned()];
    let mut next = 0;
    while let Some(group) = groups.get(next)
        && groups.len() < TREE_MAX
    {
        let entries = fs::read_dir(group).into_iter().flatten().flatten();
        let inner = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let inner: Vec<PathBuf> = inner.map(|entry| entry.path()).collect();
        groups.extend(inner);
        next += 1;
    }
    groups
}

fn pids(path: &Path) -> Vec<u32> {
    let of = |group: PathBuf| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    tree(path)
        .into_iter()
        .map(of)
        .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Those that were in it before a handle was had and are in it after, so that no pid can have changed its meaning.
fn kill_each(path: &Path) {
    for some in pids(path).chunks(HANDLES_MAX) {
        let kins = some.iter().copied().filter_map(Kin::of);
        let handles: Vec<PidFd> = kins.filter_map(|kin| handle(kin.identity)).collect();
        let still: BTreeSet<u32> = pids(path).into_iter().collect();
        for handle in handles.iter().filter(|handle| still.contains(&handle.identity().pid)) {
            // One that has ended meanwhile needs no signal; one that cannot be signalled is seen to live.
            drop(handle.signal(Signal::Kill));
        }
    }
}

/// Blocks for this time.
pub(super) fn pause(time: Duration) {
    // Of nothing: only the time ends it.
    poll(&mut [], Timespec::try_from(time).ok().as_ref()).ok();
}

fn write(path: &Path, file: &str, text: &str) -> bool {
    let file = File::options().write(true).open(path.join(file));
    file.is_ok_and(|mut file| io::Write::write_all(&mut file, text.as_bytes()).is_ok())
}

/// Of a `cpu.stat` of version 2.
fn usage(text: &str) -> Option<Duration> {
    let micros = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
    micros.trim().parse().ok().map(Duration::from_micros)
}
