//! Judges the lines of a log one after the other. Pure.

use crate::fault::Fault;
use crate::head::{Hash, Head};
use crate::key::PublicKey;
use crate::line::{Line, Statement, parse_checkpoint};

/// How far the lines were judged.
#[derive(Debug)]
pub(crate) struct Walk<'k> {
    key: &'k PublicKey,
    /// What the next line has to say; nothing before the first.
    due: Option<Due>,
    /// The newest line, as it says itself.
    pub(crate) head: Head,
    /// The newest checkpoint with a good signature.
    pub(crate) signed: Option<Signed>,
    /// Lines after it.
    pub(crate) unsigned: u64,
    pub(crate) checkpoints: u64,
}

/// A checkpoint with a good signature.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed {
    pub(crate) head: Head,
    pub(crate) statement: Statement,
}

#[derive(Debug, Clone, Copy)]
struct Due {
    seq: u64,
    /// Unknown after a line that could not be read.
    prev: Option<Hash>,
}

/// What a line said, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) head: Option<Head>,
    pub(crate) faults: Vec<Fault>,
}

impl<'k> Walk<'k> {
    pub(crate) fn new(key: &'k PublicKey) -> Walk<'k> {
        Walk { key, due: None, head: Head::START, signed: None, unsigned: 0, checkpoints: 0 }
    }

    /// The number of the next line; nothing before the first.
    pub(crate) fn due_seq(&self) -> Option<u64> {
        self.due.map(|due| due.seq)
    }

    /// A line that is known to be none.
    pub(crate) fn skip(&mut self) {
        if let Some(due) = &mut self.due {
            *due = Due { seq: due.seq + 1, prev: None };
        }
    }

    /// The next line, without its end.
    pub(crate) fn take(&mut self, bytes: &[u8], begins_file: bool) -> Judged {
        let Some(line) = Line::parse(bytes) else {
            self.skip();
            return Judged { head: None, faults: vec![Fault::Unreadable] };
        };
        let mut faults = Vec::new();
        if Hash::of(line.body) != line.hash {
            faults.push(Fault::Changed);
        }
        let head = Head { seq: line.seq, hash: line.hash };
        let is_in_place = self.judge_place(&line, &mut faults);
        let is_signed = self.judge_signature(bytes, &line, begins_file, &mut faults);
        if is_in_place && !is_signed {
            self.count_unsigned(&mut faults);
        }
        Judged { head: Some(head), faults }
    }

    /// Whether it is where it belongs, or at least after what comes before it. What it says of itself is believed for the next one, so that each change
    /// is told once.
    fn judge_place(&mut self, line: &Line<'_>, faults: &mut Vec<Fault>) -> bool {
        let Line { seq, prev, hash, .. } = *line;
        let start = Due { seq, prev: (seq == 1).then_some(Hash::ZERO) };
        let due = self.due.unwrap_or(start);
        if seq < due.seq {
            faults.push(Fault::OutOfPlace { due: due.seq });
            return false;
        }
        if seq > due.seq {
            faults.push(Fault::Missing { from: due.seq, to: seq - 1 });
        } else if due.prev.is_some_and(|due| due != prev) {
            faults.push(Fault::ChainBroken);
        }
        self.head = Head { seq, hash };
        self.due = Some(Due { seq: seq + 1, prev: Some(hash) });
        true
    }

    /// Whether it is a checkpoint that signs what is before it.
    fn judge_signature(
        &mut self,
        bytes: &[u8],
        line: &Line<'_>,
        begins_file: bool,
        faults: &mut Vec<Fault>,
    ) -> bool {
        let Some((signed, signature)) = &line.signed else {
            if begins_file {
                faults.push(Fault::NoCheckpoint);
            }
            return false;
        };
        self.checkpoints += 1;
        let statement = match parse_checkpoint(bytes) {
            None => Err(Fault::Unreadable),
            Some((_, found)) if found != *self.key => Err(Fault::OtherKey { found }),
            Some(_) if !self.key.has_signed(signed, signature) => Err(Fault::BadSignature),
            Some((statement, _)) => Ok(statement),
        };
        match statement {
            Err(fault) => {
                faults.push(fault);
                false
            }
            // One that is repeated says nothing of what follows it now.
            Ok(_) if self.signed.is_some_and(|signed| line.seq <= signed.head.seq) => false,
            Ok(statement) => {
                self.signed = Some(Signed { head: Head { seq: line.seq, hash: line.hash }, statement });
                self.unsigned = 0;
                true
            }
        }
    }

    fn count_unsigned(&mut self, faults: &mut Vec<Fault>) {
        self.unsigned += 1;
        // Told once, at the first line past the promise.
        match self.signed.map(|signed| signed.statement.every) {
            Some(every) if self.unsigned == every.saturating_add(1) => {
                faults.push(Fault::Unsigned { every });
            }
            Some(_) | None => {}
        }
    }
}
