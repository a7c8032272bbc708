//! Verifying a log, from its files and a public key alone.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use nkudo_journal::Disk;

use crate::error::AuditError;
use crate::fault::{Fault, Finding};
use crate::files::{Listing, LogFile, name};
use crate::head::Head;
use crate::key::PublicKey;
use crate::line::timestamp_of;
use crate::lines::{Lines, Piece};
use crate::walk::Walk;

/// Findings that are told one by one; more are counted.
pub const FINDINGS_MAX: usize = 100;

/// What was found in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub files: usize,
    /// Whole lines, and their bytes together with what else is in the files.
    pub lines: u64,
    pub bytes: u64,
    pub checkpoints: u64,
    /// The first line; nothing in a log without lines.
    pub first_seq: Option<u64>,
    /// When the first and the last line say that they were written; nothing where one cannot be read.
    pub first_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
    /// The last line. Whoever keeps it finds out later when the log is changed up to there.
    pub head: Head,
    /// The newest checkpoint with a good signature.
    pub signed: Option<Head>,
    /// Lines after it: they may have been written by anybody, unless a head says otherwise.
    pub unsigned: u64,
    pub expected: Expected,
    /// A last line without an end.
    pub cut: Option<Cut>,
    /// Cut lines of earlier crashes that stand beside the log.
    pub kept_aside: usize,
    /// What is wrong, in the order of the files, and how much more there was than [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    pub findings_left_out: u64,
}

/// What became of the head that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    NotGiven,
    /// The log has this line with this hash.
    Met,
    /// The log was pruned past it, as a checkpoint says, so nothing can be said.
    Pruned,
    /// It is among the findings.
    Failed,
}

/// A last line without an end. That is how a crash leaves a line that nobody was told to be durable; a hand that cuts the
/// file may leave the same, which only an expected head tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub file: String,
    /// Counted from one.
    pub line: u64,
    pub bytes: u64,
}

impl Report {
    /// Whether nothing was found that a crash does not leave.
    pub fn is_untampered(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Reads the whole log in a directory and tells what is wrong with it. Memory does not grow with the log. What stands
/// while somebody writes is the log up to a head; its last line may then be seen as cut.
///
/// The expected head is one that was seen before and kept elsewhere. Without it a log that was cut after some line, or
/// whose lines after the last checkpoint were written anew, looks like one that is younger.
///
/// # Errors
/// When the directory or a file cannot be read. What is wrong with the log is in the report.
pub fn verify<D: Disk>(
    disk: &D,
    dir: &Path,
    key: &PublicKey,
    expected: Option<Head>,
) -> Result<Report, AuditError> {
    let listing = Listing::read(disk, dir)?;
    let mut verifier = Verifier::new(key, expected);
    for name in listing.strange {
        verifier.found(&name, 0, None, Fault::StrangeFile);
    }
    for (index, file) in listing.files.iter().enumerate() {
        verifier.read(disk, dir, file, index + 1 == listing.files.len())?;
    }
    verifier.judge_ends(&listing.files);
    let Verifier { mut report, walk, .. } = verifier;
    report.files = listing.files.len();
    report.kept_aside = listing.kept.len();
    report.checkpoints = walk.checkpoints;
    report.head = walk.head;
    report.signed = walk.signed.map(|signed| signed.head);
    report.unsigned = walk.unsigned;
    Ok(report)
}

struct Verifier<'k> {
    walk: Walk<'k>,
    head: Option<Head>,
    report: Report,
}

impl<'k> Verifier<'k> {
    fn new(key: &'k PublicKey, head: Option<Head>) -> Verifier<'k> {
        let report = Report {
            files: 0,
            lines: 0,
            bytes: 0,
            checkpoints: 0,
            first_seq: None,
            first_at: None,
            last_at: None,
            head: Head::START,
            signed: None,
            unsigned: 0,
            expected: if head.is_some() { Expected::Failed } else { Expected::NotGiven },
            cut: None,
            kept_aside: 0,
            findings: Vec::new(),
            findings_left_out: 0,
        };
        Verifier { walk: Walk::new(key), head, report }
    }

    fn found(&mut self, file: &str, line: u64, seq: Option<u64>, fault: Fault) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding { file: file.to_owned(), line, seq, fault });
        } else {
            self.report.findings_left_out += 1;
        }
    }

    fn read<D: Disk>(
        &mut self,
        disk: &D,
        dir: &Path,
        file: &LogFile,
        is_last: bool,
    ) -> Result<(), AuditError> {
        let name = file.name();
        let mut lines = Lines::new(disk, dir.join(&name));
        let (mut number, mut is_cut) = (0, false);
        while let Some(piece) = lines.next()? {
            number += 1;
            match piece {
                Piece::Line(line) => self.judge(&name, number, line, file.first),
                Piece::TooLong => {
                    self.walk.skip();
                    self.found(&name, number, None, Fault::TooLong);
                }
                Piece::Cut => is_cut = true,
            }
        }
        self.report.lines += number - u64::from(is_cut);
        self.report.bytes += lines.read_bytes();
        let bytes = lines.read_bytes() - lines.whole_bytes();
        if is_cut && is_last {
            self.report.cut = Some(Cut { file: name, line: number, bytes });
        } else if is_cut {
            self.found(&name, number, None, Fault::CutWithin);
        } else if number == 0 && is_last && self.walk.due_seq().is_some_and(|due| due != file.first) {
            self.found(&name, 0, None, Fault::FileName);
        }
        Ok(())
    }

    fn judge(&mut self, file: &str, number: u64, line: &[u8], named_seq: u64) {
        let judged = self.walk.take(line, number == 1);
        let seq = judged.head.map(|head| head.seq);
        for fault in judged.faults {
            self.found(file, number, seq, fault);
        }
        let Some(head) = judged.head else { return };
        if number == 1 && head.seq != named_seq {
            self.found(file, number, seq, Fault::FileName);
        }
        if self.report.first_seq.is_none() {
            (self.report.first_seq, self.report.first_at) = (Some(head.seq), timestamp_of(line));
        }
        self.report.last_at = timestamp_of(line);
        match self.head.filter(|expected| expected.seq == head.seq) {
            Some(expected) if expected.hash == head.hash => self.report.expected = Expected::Met,
            Some(expected) => self.found(file, number, seq, Fault::OtherHead { expected }),
            None => {}
        }
    }

    /// Whether the log begins where a checkpoint says, and has the head that was expected.
    fn judge_ends(&mut self, files: &[LogFile]) {
        let oldest = files.first().map_or_else(|| name(1), LogFile::name);
        let newest = files.last().map_or_else(|| name(1), LogFile::name);
        let begins = self.walk.signed.map_or(1, |signed| signed.statement.first);
        // A log without a line begins with the file that is there for the first one.
        let first = self.report.first_seq.or(files.first().map(|file| file.first));
        if let Some(first) = first.filter(|first| *first > begins) {
            self.found(&oldest, 0, None, Fault::StartMissing { from: begins, to: first - 1 });
        }
        let Some(expected) = self.head.filter(|_| self.report.expected == Expected::Failed) else { return };
        if expected == Head::START {
            self.report.expected = Expected::Met;
        } else if expected.seq == 0 {
            self.found(&oldest, 0, None, Fault::OtherHead { expected });
        } else if expected.seq < begins {
            self.report.expected = Expected::Pruned;
        } else if expected.seq > self.walk.head.seq {
            self.found(&newest, 0, None, Fault::HeadMissing { expected });
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut { file, line, bytes } = self;
        write!(
            f,
            "{file} line {line} has no end after {bytes} bytes, as a crash leaves a line that was being written; the next \
             opening sets it aside"
        )
    }
}
