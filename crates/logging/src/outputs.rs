//! Files and standard error, for the thread that writes.

use std::error::Error as _;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use memchr::memchr_iter;

use crate::escape::{json_text, print};
use crate::files::{FilesError, LogFiles};
use crate::finish::Finish;
use crate::handle::NewFiles;
use crate::level::LogLevel;
use crate::output_metrics::OutputCounts;

/// Batches that wait for a standard error that is slow, where there are files beside.
const WAITING_MAX: usize = 4;
/// How often it is told at most that files were deleted.
const TELL_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// Where the thread's lines go.
#[derive(Debug)]
pub(crate) struct Outputs {
    finish: Finish,
    files: Option<LogFiles>,
    stderr: Stderr,
    /// What the files' last failure was, so that each is told once.
    failing: Option<String>,
    /// How many deleted files were told, and when.
    vanished: (u64, Option<Timestamp>),
}

impl Outputs {
    pub(crate) fn new(finish: Finish, files: Option<LogFiles>, stderr: Stderr) -> Self {
        Self { finish, files, stderr, failing: None, vanished: (0, None) }
    }

    /// Writes to these files from now on.
    pub(crate) fn take(&mut self, new: NewFiles) {
        (self.files, self.failing, self.vanished) = (Some(new.files), None, (0, None));
        if matches!(self.stderr, Stderr::Direct) {
            self.stderr = new.stderr;
        }
    }

    /// Writes JSON lines. Says whether they are anywhere now.
    pub(crate) fn write(&mut self, now: Timestamp, lines: &[u8]) -> bool {
        let is_written = self.write_lines(now, lines);
        self.tell_vanished(now);
        is_written
    }

    /// Tells in the log that somebody else deleted files of it.
    fn tell_vanished(&mut self, now: Timestamp) {
        let (told, told_at) = self.vanished;
        let Some(files) = &self.files else { return };
        let count = files.vanished();
        if count == told || told_at.is_some_and(|at| now.duration_since(at).abs() < TELL_EVERY) {
            return;
        }
        self.vanished = (count, Some(now));
        let dir = files.directory().display().to_string();
        let fields = [("dir", dir.as_str()), ("files", &(count - told).to_string())];
        let line = own_line(now, LogLevel::Warn, "log files were deleted by somebody else", &fields);
        // Where it cannot be written the batch before it was not either, and that is told.
        let _is_written = self.write_lines(now, &line);
    }

    fn write_lines(&mut self, now: Timestamp, lines: &[u8]) -> bool {
        let lines = self.finish.redact(lines);
        let mut is_kept = false;
        if let Some(files) = &mut self.files {
            let failing = files.write(now, &lines).err().map(|error| with_cause(&error));
            is_kept = failing.is_none();
            if failing.is_some() != self.failing.is_some() {
                let (level, message) = match failing {
                    Some(_) => {
                        (LogLevel::Error, "log files cannot be written, lines go to standard error only")
                    }
                    None => (LogLevel::Info, "log files are written again"),
                };
                let told = failing.as_deref().or(self.failing.as_deref()).unwrap_or_default();
                let line = own_line(now, level, message, &[("error", told)]);
                self.stderr.write(&self.finish.shown(&line));
            }
            self.failing = failing;
        }
        self.stderr.write(&self.finish.shown(&lines)) | is_kept
    }

    /// Waits for what is on its way to standard error, at most so long.
    pub(crate) fn flush(&self, deadline: Duration) {
        self.stderr.flush(deadline);
    }
}

fn with_cause(error: &FilesError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// A line of the log's own.
pub(crate) fn own_line(now: Timestamp, level: LogLevel, message: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut line = Vec::new();
    let level = level.as_str();
    let head =
        format_args!("{{\"timestamp\":\"{now:.3}\",\"level\":\"{level}\",\"component\":\"log\",\"message\":");
    print(&mut line, head);
    json_text(message, &mut line);
    line.extend_from_slice(b",\"fields\":{");
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        json_text(name, &mut line);
        line.push(b':');
        json_text(value, &mut line);
    }
    line.extend_from_slice(b"}}\n");
    line
}

/// Standard error. Where there are files beside, a thread of its own writes it: a terminal that is held and a pipe that
/// nobody reads do not keep lines from the files.
#[derive(Debug)]
pub(crate) enum Stderr {
    Direct,
    Thread(SyncSender<Message>, OutputCounts),
}

#[derive(Debug)]
pub(crate) enum Message {
    Lines(Vec<u8>),
    /// Everything before this was written; say so.
    Flush(SyncSender<()>),
}

impl Stderr {
    pub(crate) fn start(beside_files: bool, counts: &OutputCounts) -> io::Result<Self> {
        if !beside_files {
            return Ok(Self::Direct);
        }
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let own_counts = counts.clone();
        let work = move || write_all(&receiver, &own_counts);
        std::thread::Builder::new().name("log-stderr".to_owned()).spawn(work)?;
        Ok(Self::Thread(sender, counts.clone()))
    }

    /// Writes lines, or hands them over. Says whether it did.
    fn write(&self, lines: &[u8]) -> bool {
        match self {
            Self::Direct => io::stderr().write_all(lines).is_ok(),
            Self::Thread(sender, counts) => {
                let is_taken = sender.try_send(Message::Lines(lines.to_vec())).is_ok();
                if !is_taken {
                    count_lost(lines, counts);
                }
                is_taken
            }
        }
    }

    fn flush(&self, deadline: Duration) {
        if let Self::Thread(sender, _) = self {
            let (written, is_written) = sync_channel(1);
            // Where nobody reads there is nothing to wait for.
            if sender.try_send(Message::Flush(written)).is_ok() {
                let _in_time = is_written.recv_timeout(deadline).is_ok();
            }
        }
    }
}

fn write_all(messages: &Receiver<Message>, counts: &OutputCounts) {
    let mut stderr = io::stderr();
    for message in messages {
        match message {
            Message::Lines(lines) => {
                if stderr.write_all(&lines).is_err() {
                    count_lost(&lines, counts);
                }
            }
            // Whoever does not wait any more need not hear it.
            Message::Flush(written) => drop(written.try_send(())),
        }
    }
}

fn count_lost(lines: &[u8], counts: &OutputCounts) {
    counts.stderr_lost.inc_by(memchr_iter(b'\n', lines).count() as u64);
}
