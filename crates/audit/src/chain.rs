//! The chain as it grows: lines are put together here, and count when they are written.

use jiff::Timestamp;

use crate::entry::Entry;
use crate::head::Head;
use crate::key::HostKey;
use crate::line::{Statement, push_checkpoint, push_entry};
use crate::log::Options;

/// How far the chain goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chain {
    pub(crate) head: Head,
    /// What the newest checkpoint says.
    pub(crate) signed: Option<Statement>,
    /// Lines after it.
    pub(crate) unsigned: u64,
}

impl Chain {
    /// The line with which the log begins.
    pub(crate) fn first(&self) -> u64 {
        self.signed.map_or(1, |signed| signed.first)
    }

    pub(crate) fn is_due_by_number(&self, options: &Options) -> bool {
        // What the last checkpoint promised holds, whatever the options are now.
        let promised = self.signed.map_or(u64::MAX, |signed| signed.every);
        self.unsigned > 0 && self.unsigned >= options.checkpoint_entries.min(promised)
    }

    pub(crate) fn is_due_by_time(&self, options: &Options, now: Timestamp) -> bool {
        // A clock that was set back is no reason to wait.
        let passed = |signed: Statement| now.duration_since(signed.at).unsigned_abs();
        self.unsigned > 0 && self.signed.is_none_or(|signed| passed(signed) >= options.checkpoint_every)
    }
}

/// Lines that are written at once.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// As it is when they are written.
    pub(crate) chain: Chain,
    pub(crate) entry_seq: u64,
    pub(crate) checkpoints: u64,
    /// Entries in which something was cut.
    pub(crate) cut: u64,
}

impl Batch {
    pub(crate) fn new(chain: Chain) -> Batch {
        Batch { bytes: Vec::new(), chain, entry_seq: 0, checkpoints: 0, cut: 0 }
    }

    pub(crate) fn begin(&mut self, chain: Chain) {
        self.bytes.clear();
        *self = Batch { bytes: std::mem::take(&mut self.bytes), ..Batch::new(chain) };
    }

    pub(crate) fn push_entry(&mut self, entry: &Entry<'_>) {
        let (head, is_cut) = push_entry(&mut self.bytes, self.chain.head, entry);
        self.cut += u64::from(is_cut);
        self.entry_seq = head.seq;
        self.chain.head = head;
        self.chain.unsigned += 1;
    }

    /// A checkpoint of a log that begins where it did.
    pub(crate) fn push_checkpoint(&mut self, options: &Options, at: Timestamp, key: &HostKey) {
        self.push_statement(self.chain.first(), options, at, key);
    }

    pub(crate) fn push_statement(&mut self, first: u64, options: &Options, at: Timestamp, key: &HostKey) {
        let statement = Statement { at, first, every: options.checkpoint_entries.max(1) };
        self.chain.head = push_checkpoint(&mut self.bytes, self.chain.head, &statement, key);
        self.chain.signed = Some(statement);
        self.chain.unsigned = 0;
        self.checkpoints += 1;
    }

    pub(crate) fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}
