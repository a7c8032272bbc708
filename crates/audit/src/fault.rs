//! What can be wrong with a log, in sentences.

use std::fmt;

use crate::head::Head;
use crate::key::PublicKey;
use crate::line::LINE_MAX_BYTES;

/// Something wrong at a place of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the file.
    pub file: String,
    /// Counted from one; zero when it is about the file as a whole.
    pub line: u64,
    /// The sequence number that the line has, when one can be read.
    pub seq: Option<u64>,
    pub fault: Fault,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has not the shape of a line.
    Unreadable,
    TooLong,
    /// The hash is not that of the line.
    Changed,
    /// It does not name the hash of the line before.
    ChainBroken,
    /// These lines are missing before it, both included.
    Missing {
        from: u64,
        to: u64,
    },
    /// A line that was moved, repeated or inserted: this one was due.
    OutOfPlace {
        due: u64,
    },
    /// The file ends within a line, and there are files after it.
    CutWithin,
    /// The name of the file is not the number of its first line.
    FileName,
    /// A file that only looks like one of the log.
    StrangeFile,
    /// The file does not begin with a checkpoint.
    NoCheckpoint,
    /// The last checkpoint promised another one within so many lines.
    Unsigned {
        every: u64,
    },
    /// A checkpoint that the key did not sign.
    BadSignature,
    /// A checkpoint that says it was signed by this key.
    OtherKey {
        found: PublicKey,
    },
    /// The log was pruned up to another line, as was signed: these are missing.
    StartMissing {
        from: u64,
        to: u64,
    },
    /// The line that was known has another hash.
    OtherHead {
        expected: Head,
    },
    /// The log ends before the line that was known.
    HeadMissing {
        expected: Head,
    },
}

const COMPARE: &str = "compare it with a backup of the log";
const RESTORE: &str = "restore what is missing from a backup of the log";

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, seq, fault } = self;
        f.write_str(file)?;
        if *line > 0 {
            write!(f, " line {line}")?;
        }
        if let Some(seq) = seq {
            write!(f, ", seq {seq}")?;
        }
        write!(f, ": {fault}")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable => write!(f, "it is no line of an audit log; {COMPARE}"),
            Fault::TooLong => write!(f, "it is longer than the {LINE_MAX_BYTES} bytes of a line; {COMPARE}"),
            Fault::Changed => write!(f, "it was changed after it was written; {COMPARE}"),
            Fault::ChainBroken => {
                write!(f, "it does not follow from the line before: one of the two was replaced; {COMPARE}")
            }
            Fault::Missing { from, to } => {
                write!(f, "{} missing before it; {RESTORE}", Lines { from, to })
            }
            Fault::OutOfPlace { due } => {
                write!(f, "it was moved, repeated or inserted: line {due} was due here; {COMPARE}")
            }
            Fault::CutWithin => {
                write!(f, "the file ends within a line and others follow, which no crash leaves; {COMPARE}")
            }
            Fault::FileName => {
                f.write_str("the file is named for another line than its first; give it back its name")
            }
            Fault::StrangeFile => f.write_str("it is no file of the log; move it elsewhere"),
            Fault::NoCheckpoint => {
                write!(f, "the file does not begin with a checkpoint, as all that are written do; {COMPARE}")
            }
            Fault::Unsigned { every } => write!(
                f,
                "more than {every} lines follow the last checkpoint: from there on they were written without the key; \
                 {COMPARE}"
            ),
            Fault::BadSignature => {
                write!(f, "the signature of this checkpoint is false; {COMPARE}")
            }
            Fault::OtherKey { found } => write!(
                f,
                "it names the key {found} as its signer; verify with that key if it was yours, else the log is forged"
            ),
            Fault::StartMissing { from, to } => write!(
                f,
                "{} missing at the beginning, and no checkpoint says that anything was pruned; {RESTORE}",
                Lines { from, to }
            ),
            Fault::OtherHead { expected } => write!(
                f,
                "its hash was {} when it was last seen: the log was written anew; {COMPARE}",
                expected.hash
            ),
            Fault::HeadMissing { expected } => write!(
                f,
                "the log ends before line {}, which was seen: its end was cut off; {COMPARE}",
                expected.seq
            ),
        }
    }
}

/// Which lines something is said of, with its verb.
struct Lines<'n> {
    from: &'n u64,
    to: &'n u64,
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        if from == to { write!(f, "line {from} is") } else { write!(f, "lines {from} to {to} are") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_that_is_missing_is_told_as_one() {
        let check = |fault: Fault, expected: &str| {
            let sentence = fault.to_string();
            assert!(sentence.starts_with(expected), "{sentence}");
            assert!(sentence.ends_with("from a backup of the log"), "{sentence}");
        };
        check(Fault::Missing { from: 5, to: 5 }, "line 5 is missing before it;");
        check(Fault::Missing { from: 5, to: 6 }, "lines 5 to 6 are missing before it;");
        check(Fault::StartMissing { from: 1, to: 1 }, "line 1 is missing at the beginning,");
        check(Fault::StartMissing { from: 1, to: 9 }, "lines 1 to 9 are missing at the beginning,");
    }
}
