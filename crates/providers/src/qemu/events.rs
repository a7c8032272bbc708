//! What QEMU keeps in `events.out`.
//!
//! QEMU writes there without `O_APPEND`. So when the file is cut to nothing, QEMU goes on at its old offset and
//! the file gets a hole in front, which takes no space; offsets stay what they were. Measured on QEMU 7.2.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nkudo_domain::Exit;
use nkudo_host::spawn;
use serde::{Deserialize, Serialize};

use super::run_directory::{self, RunDirectory};
use crate::evidence::{EVENTS_MAX, VmEvent};

/// How much of the end of the file is searched for the reason of the end, in bytes.
const TAIL_BYTES: u64 = 64 << 10;
/// The greeting and the answer to the first command fit into so many bytes.
const HEAD_BYTES: usize = 1 << 10;
/// The most that is read of new events at a time, in bytes.
const READ_BYTES_MAX: u64 = 256 << 10;
/// What the file may take on the disk, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The unit of a file's blocks, whatever the file system's.
const BLOCK_BYTES: u64 = 512;
/// Resets that follow the one before sooner than this are one reboot: the firmware of a `q35` answers a reset with
/// one or two of its own, 30 ms later (measured on QEMU 7.2); a `microvm` resets once.
const REBOOT_SETTLES_MS: i64 = 200;

/// The reboots of a guest as far as its events were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Reboots {
    pub(super) count: u64,
    /// Where in the file the next event begins.
    offset: u64,
    last_reset_ms: Option<i64>,
}

/// One line of the file that is an event.
#[derive(Debug, Deserialize)]
struct Event {
    event: String,
    timestamp: Timestamp,
    #[serde(default)]
    data: Data,
}

#[derive(Debug, Deserialize)]
struct Timestamp {
    seconds: i64,
    microseconds: i64,
}

#[derive(Debug, Default, Deserialize)]
struct Data {
    #[serde(default)]
    guest: bool,
    #[serde(default)]
    reason: String,
}

impl Event {
    fn at_ms(&self) -> i64 {
        self.timestamp.seconds.saturating_mul(1000).saturating_add(self.timestamp.microseconds / 1000)
    }
}

impl Reboots {
    /// As they were when the file was last cut, or from its beginning.
    pub(super) fn resume(directory: &RunDirectory) -> Self {
        run_directory::read_json(&directory.events_counted()).unwrap_or_default()
    }

    /// Counts what came since, up to a bound. Tells whether there may be more.
    pub(super) fn read_on(&mut self, path: &Path) -> io::Result<bool> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        let read = file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
        let full = u64::try_from(read).is_ok_and(|read| read == READ_BYTES_MAX);
        // The last line may be half written; a line that does not fit at all is skipped.
        let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if full => bytes.len(),
            None => 0,
        };
        self.count_all(&bytes[..whole]);
        self.offset += u64::try_from(whole).unwrap_or(u64::MAX);
        Ok(full)
    }

    fn count_all(&mut self, bytes: &[u8]) {
        for event in events(bytes).filter(|event| event.event == "RESET") {
            let at_ms = event.at_ms();
            let settled = self.last_reset_ms.is_none_or(|last| at_ms - last >= REBOOT_SETTLES_MS);
            if settled && event.data.guest && event.data.reason == "guest-reset" {
                self.count += 1;
            }
            self.last_reset_ms = Some(at_ms);
        }
    }

    /// Keeps the file within its bound. Events that QEMU writes in the microseconds between the reading and the
    /// cutting are lost.
    pub(super) fn bound(&mut self, directory: &RunDirectory) -> io::Result<()> {
        let path = directory.events_out();
        let file = match File::options().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        if file.metadata()?.blocks() * BLOCK_BYTES <= FILE_BYTES_MAX {
            return Ok(());
        }
        while self.read_on(&path)? {}
        run_directory::replace(&directory.events_counted(), &run_directory::json(self))?;
        file.set_len(0)
    }
}

/// Whether QEMU tells its events: it has answered the command that makes it do so.
pub(super) fn are_told(directory: &RunDirectory) -> bool {
    let Ok(mut file) = File::open(directory.events_out()) else { return false };
    let mut head = [0; HEAD_BYTES];
    let read = file.read(&mut head).unwrap_or(0);
    // A file that is longer holds events; when it was cut, its head is a hole.
    read == HEAD_BYTES || String::from_utf8_lossy(&head[..read]).contains("\"return\"")
}

/// Why QEMU ended, from what it wrote, from how its process ended where that is known, and from the end of its log.
pub(super) fn exit(directory: &RunDirectory, process: Option<spawn::Exit>) -> Exit {
    let written = run_directory::tail(&directory.events_out(), TAIL_BYTES).unwrap_or_default();
    explain(&written, process, &directory.log_tail())
}

/// The last events that QEMU wrote, the newest at the end.
pub(super) fn last(directory: &RunDirectory) -> Vec<VmEvent> {
    let written = run_directory::tail(&directory.events_out(), TAIL_BYTES).unwrap_or_default();
    let mut told: Vec<VmEvent> = events(&written)
        .map(|event| VmEvent {
            at_ms: event.at_ms(),
            reason: Some(event.data.reason).filter(|reason| !reason.is_empty()),
            event: event.event,
        })
        .collect();
    told.drain(..told.len().saturating_sub(EVENTS_MAX));
    told
}

/// From what QEMU wrote to its events and its standard error, and from its status, as far as they are known.
pub(super) fn explain(written: &[u8], process: Option<spawn::Exit>, log: &str) -> Exit {
    let shutdown = events(written).filter(|event| event.event == "SHUTDOWN").last();
    let why = match shutdown.map(|shutdown| shutdown.data.reason) {
        Some(reason) => match reason.as_str() {
            "guest-shutdown" => return Exit::GuestPoweredOff,
            "guest-panic" => "the guest panicked".to_owned(),
            "host-signal" => "the hypervisor was ended by a signal".to_owned(),
            "host-qmp-quit" => "the hypervisor was told to quit".to_owned(),
            other => format!("the hypervisor ended: {other}"),
        },
        None => match process {
            Some(exit) => exit.to_string(),
            None => "it ended, and nothing says why".to_owned(),
        },
    };
    Exit::Died(if log.is_empty() { why } else { format!("{why}: {log}") })
}

/// The events among the lines. A hole in front of the first line reads as zeros.
fn events(bytes: &[u8]) -> impl Iterator<Item = Event> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let start = line.iter().position(|byte| *byte != 0)?;
        serde_json::from_slice(&line[start..]).ok()
    })
}

#[cfg(test)]
mod tests;
