//! The evidence about a VM, told fact by fact.
//!
//! It is what [`observe`](super::observing) goes by, but nothing is put right on the way: no adopted process is recorded
//! and QEMU is not asked for its events.

use std::error::Error as _;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use nkudo_domain::{Evidence, Exit, Monitor};
use nkudo_host::process::{self, Identity};
use nkudo_host::{file, lock};
use serde_json::Value;
use tokio::time::sleep;

use super::command_line::names_vm;
use super::end::host_rebooted;
use super::observing::{GATHER_AGAIN, GATHERINGS_MAX, STATUS_DEADLINE, State};
use super::run_directory::{FILE_BYTES_MAX, RunDirectory, There, VmmRecord};
use super::vmm::{holder, orphan};
use super::{Qemu, events, qmp};
use crate::evidence::{Fact, Findings};

/// Most holders of a lock that are told.
const HOLDERS_MAX: usize = 4;

/// What was seen, without judgement.
#[derive(Debug, Clone)]
struct Seen {
    path: PathBuf,
    there: There,
    lock: Result<bool, String>,
    holders: Vec<Holder>,
    record: Record,
    /// The process that is the VM.
    process: Option<u32>,
    /// The program that looks started it.
    child: bool,
    socket: bool,
    /// None where there was nobody to ask.
    monitor: Option<Result<Value, String>>,
    host_rebooted: bool,
    farewell: Option<Exit>,
    console_bytes: (u64, u64),
}

/// A process that has the lock file open.
#[derive(Debug, Clone)]
struct Holder {
    pid: u32,
    program: String,
    as_input: bool,
}

/// What `vmm.json` says, and what has that pid now.
#[derive(Debug, Clone)]
enum Record {
    Absent,
    Unreadable(String),
    Read { record: Box<VmmRecord>, now: Option<Identity>, names_vm: bool },
}

impl Qemu {
    /// Looks, again where lock and process disagree as they do for a moment when a process starts or ends.
    pub(super) async fn explain(&self, directory: &RunDirectory) -> Findings {
        let mut seen = self.see(directory).await;
        for _ in 1..GATHERINGS_MAX {
            let evidence = seen.evidence();
            if evidence.lock_held == evidence.process {
                break;
            }
            sleep(GATHER_AGAIN).await;
            seen = self.see(directory).await;
        }
        let observation = seen.evidence().judge();
        let events = if seen.has_directory() { events::last(directory) } else { Vec::new() };
        Findings { facts: seen.facts(), events, observation, why: seen.why() }
    }

    async fn see(&self, directory: &RunDirectory) -> Seen {
        let there = directory.there();
        if there != There::RunDirectory {
            return self.see_without_directory(directory, there);
        }
        let lock = lock::is_held(&directory.lock()).map_err(|error| error.to_string());
        let lock_held = lock.clone().unwrap_or(true);
        let record = read_record(directory);
        let process = match record.process() {
            Some(recorded) => Some(recorded),
            None if lock_held => holder(directory).map(|(identity, _)| identity),
            None => None,
        };
        let mut monitor = None;
        if process.is_some() {
            let answered = qmp::execute(&directory.qmp_socket(), &["query-status"], STATUS_DEADLINE).await;
            monitor = Some(answered.map_err(|failure| {
                let error = failure.of(directory.vm_id, &directory.qmp_socket());
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                format!("{error}{cause}")
            }));
        }
        // A process that ended while it was asked is none.
        let process = process.filter(|identity| process::is_alive(*identity));
        let gone = !lock_held && process.is_none();
        let child = self.children().contains_key(&directory.vm_id);
        Seen {
            path: directory.path.clone(),
            there,
            lock,
            holders: holders(&directory.lock()),
            record,
            process: process.map(|identity| identity.pid),
            child,
            socket: is_socket(&directory.qmp_socket()),
            monitor: monitor.filter(|_| process.is_some()),
            host_rebooted: host_rebooted(directory),
            farewell: gone.then(|| self.exit_of(directory)),
            console_bytes: (length(&directory.console_log()), length(&directory.path.join("console.log.1"))),
        }
    }

    /// What is in the way says nothing of the VM, and is not read.
    fn see_without_directory(&self, directory: &RunDirectory, there: There) -> Seen {
        Seen {
            path: directory.path.clone(),
            there,
            lock: Ok(false),
            holders: Vec::new(),
            record: Record::Absent,
            process: orphan(directory).map(|identity| identity.pid),
            child: self.children().contains_key(&directory.vm_id),
            socket: false,
            monitor: None,
            host_rebooted: false,
            farewell: None,
            console_bytes: (0, 0),
        }
    }
}

impl Record {
    /// The recorded process, where it is the VM.
    fn process(&self) -> Option<Identity> {
        match self {
            Self::Read { record, now, names_vm: true } if *now == Some(record.identity) => *now,
            Self::Read { .. } | Self::Absent | Self::Unreadable(_) => None,
        }
    }
}

impl Seen {
    fn has_directory(&self) -> bool {
        self.there == There::RunDirectory
    }

    fn evidence(&self) -> Evidence {
        let monitor = match &self.monitor {
            Some(Ok(answer)) => State::of(answer).monitor(),
            Some(Err(_)) | None => Monitor::Silent,
        };
        Evidence {
            directory: self.has_directory(),
            lock_held: self.lock.clone().unwrap_or(true),
            process: self.process.is_some(),
            monitor,
            started: !matches!(self.record, Record::Absent),
            host_rebooted: self.host_rebooted,
            farewell: self.farewell.clone(),
        }
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = vec![self.directory_fact(), self.lock_fact()];
        facts.extend(self.record_facts());
        facts.push(match self.process {
            Some(pid) if self.child => {
                Fact::seen("process", true, format!("pid {pid} is the VM; this run of the agent started it"))
            }
            Some(pid) => Fact::seen(
                "process",
                true,
                format!("pid {pid} is the VM; adopted from an earlier run of the agent"),
            ),
            None => Fact::seen("process", false, "no process is the VM"),
        });
        let socket = if self.socket { "qmp.sock is there" } else { "there is no qmp.sock" };
        facts.push(Fact::seen("socket", self.socket, socket));
        facts.push(match &self.monitor {
            None if self.process.is_some() => {
                Fact::beside("monitor", "not asked, as there is no run directory")
            }
            None => Fact::beside("monitor", "not asked, as there is no process"),
            Some(Ok(answer)) => {
                let understood = State::of(answer).monitor() != Monitor::Silent;
                Fact::seen("monitor", understood, format!("query-status answered {answer}"))
            }
            Some(Err(error)) => Fact::seen("monitor", false, error.as_str()),
        });
        if let Some(exit) = self.exit() {
            facts.push(Fact::beside("end", exit));
        }
        let (now, before) = self.console_bytes;
        facts.push(Fact::beside("console", format!("{now} bytes, and {before} before that")));
        facts
    }

    fn directory_fact(&self) -> Fact {
        let path = self.path.display();
        let is = match self.there {
            There::RunDirectory => "is there",
            There::Nothing => "is not there",
            There::InTheWay => "was not made for a vm and is in the way: it is left as it is; move it away",
        };
        Fact::seen("directory", self.has_directory(), format!("{path} {is}"))
    }

    fn lock_fact(&self) -> Fact {
        let by: Vec<String> = self.holders.iter().map(Holder::to_string).collect();
        match &self.lock {
            Ok(true) if by.is_empty() => Fact::seen("lock", true, "held, by whom cannot be seen"),
            Ok(true) => Fact::seen("lock", true, format!("held by {}", by.join(", "))),
            Ok(false) => Fact::seen("lock", false, "held by nobody"),
            Err(error) => Fact::beside("lock", format!("it cannot be looked at: {error}")),
        }
    }

    fn record_facts(&self) -> Vec<Fact> {
        let (record, now, names_vm) = match &self.record {
            Record::Absent => return vec![Fact::beside("record", "no start is recorded")],
            Record::Unreadable(error) => {
                return vec![Fact::seen("record", false, format!("vmm.json cannot be understood: {error}"))];
            }
            Record::Read { record, now, names_vm } => (record, now, *names_vm),
        };
        let Identity { pid, start_ticks } = record.identity;
        let how = format!("pid {pid}, QEMU {}, accelerator {}", record.qemu_version, record.accel);
        let mut facts = vec![Fact::beside("record", how)];
        match now {
            None => facts.push(Fact::seen("pid", false, format!("pid {pid} is gone"))),
            Some(now) if now.start_ticks != start_ticks => facts.push(Fact::seen(
                "pid",
                false,
                format!(
                    "pid {pid} is another process now: it began at tick {}, the recorded one at {start_ticks}",
                    now.start_ticks
                ),
            )),
            Some(_) => {
                facts.push(Fact::seen("pid", true, format!("pid {pid} lives and began at tick {start_ticks}")));
                let names = if names_vm { "bears" } else { "does not bear" };
                let uuid = format!("the command line of pid {pid} {names} the VM's UUID");
                facts.push(Fact::seen("uuid", names_vm, uuid));
            }
        }
        if self.host_rebooted {
            facts.push(Fact::seen("boot", false, "the host has rebooted since that start"));
        }
        facts
    }

    /// How its process ended, where it was started and is gone.
    fn exit(&self) -> Option<String> {
        let started = !matches!(self.record, Record::Absent);
        let farewell = self.farewell.as_ref().filter(|_| started && self.process.is_none());
        farewell.map(Exit::to_string)
    }

    /// The judgement as a sentence; it follows the branches of [`Evidence::judge`].
    fn why(&self) -> String {
        let evidence = self.evidence();
        match (evidence.lock_held, self.process) {
            (true, Some(pid)) => {
                let alive = format!("pid {pid} is its process and holds the lock of its run directory");
                match (evidence.monitor, &self.monitor) {
                    (Monitor::Running, _) => format!("{alive}, and QEMU says that the guest runs"),
                    (Monitor::Paused, _) => format!("{alive}, and QEMU says that the guest does not run on"),
                    (Monitor::Silent, Some(Err(error))) => {
                        format!("{alive}, but QEMU does not say how the guest is: {error}")
                    }
                    (Monitor::Silent, Some(Ok(_)) | None) => {
                        format!("{alive}, but what QEMU says of the guest is neither running nor paused")
                    }
                }
            }
            (true, None) => {
                "the lock of its run directory is held, but by no process that is known to be this VM: it may be alive"
                    .to_owned()
            }
            (false, Some(pid)) if !self.has_directory() => {
                format!("pid {pid} is its process, but its run directory was taken away, and the lock with it")
            }
            (false, Some(pid)) => {
                format!("pid {pid} is its process, but it does not hold the lock of its run directory")
            }
            (false, None) if !self.has_directory() => "nothing of it is on this host".to_owned(),
            (false, None) => match self.exit() {
                Some(exit) => format!("its process has ended: {exit}"),
                None => "it has no process, and no start is recorded: it was never started, or it was stopped on request"
                    .to_owned(),
            },
        }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = if self.as_input { ", as its standard input" } else { "" };
        write!(f, "pid {} ({}){how}", self.pid, self.program)
    }
}

fn read_record(directory: &RunDirectory) -> Record {
    if !directory.was_started() {
        return Record::Absent;
    }
    let read = file::read_plain(&directory.vmm_file(), FILE_BYTES_MAX).map_err(|error| error.to_string());
    let record: Result<VmmRecord, String> =
        read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
    match record {
        Err(error) => Record::Unreadable(error),
        Ok(record) => {
            let pid = record.identity.pid;
            let names_vm = process::command_line(pid).is_some_and(|line| names_vm(&line, directory.vm_id));
            Record::Read { record: Box::new(record), now: process::identity(pid), names_vm }
        }
    }
}

fn holders(lock: &Path) -> Vec<Holder> {
    let program = |pid| {
        let words = process::command_line(pid).unwrap_or_default();
        let program = words.first().map(Path::new).and_then(Path::file_name);
        program.map_or_else(|| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
    };
    let pids = process::holders(lock).into_iter().take(HOLDERS_MAX);
    pids.map(|pid| Holder { pid, program: program(pid), as_input: process::reads(pid, lock) }).collect()
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket())
}

fn length(path: &Path) -> u64 {
    fs::symlink_metadata(path).map_or(0, |there| there.len())
}

#[cfg(test)]
mod tests;
