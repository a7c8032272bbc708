//! The ledger's file: records as JSON in a journal, written anew when it has grown.

use std::path::Path;

use nkudo_fleet::outage::{Ledger, Record};
use nkudo_journal::{Discarded, Journal, JournalError, Options, RealDisk, replay_each_read_only};

/// A file is written anew when it is longer than so many bytes, and twice as long as it was then.
const ANEW_MIN_BYTES: u64 = 64 << 10;
/// Longest record, in bytes; evidence is far shorter.
const RECORD_MAX_BYTES: u32 = 64 << 10;

#[derive(Debug)]
pub(super) struct LedgerFile {
    journal: Journal<RealDisk>,
    /// How long it was when it was last written anew.
    anew_bytes: u64,
}

/// What was on the disk.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: LedgerFile,
    pub(super) ledger: Ledger,
    /// What could not be read, in words.
    pub(super) loss: Option<String>,
}

impl LedgerFile {
    /// Opens the file, which is made when there is none.
    ///
    /// # Errors
    /// When the disk cannot be read or written, or the format is newer than this program.
    pub(super) fn open(dir: &Path) -> Result<Opened, JournalError> {
        let mut reading = Reading::default();
        let options = Options { max_record_bytes: RECORD_MAX_BYTES, ..Options::default() };
        let (journal, discarded) =
            Journal::open_each(RealDisk, dir, options, |_, bytes| reading.take(bytes))?;
        let (ledger, loss) = reading.end(discarded);
        let file = Self { anew_bytes: 0, journal };
        Ok(Opened { file, ledger, loss })
    }

    /// Adds records. Those that are dear are durable then, as is all before them; the others survive the end of the
    /// program, and not a loss of power.
    ///
    /// # Errors
    /// When the disk cannot be written. What is there is not known then.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), JournalError> {
        for record in records {
            self.journal.append(&payload(record))?;
        }
        if records.iter().any(Record::is_dear) {
            self.journal.sync()?;
            // The first record after a loss is the ledger's new name.
            self.journal.loss_is_on_record()?;
        }
        Ok(())
    }

    /// Whether it is time to write it anew.
    pub(super) fn is_long(&self) -> bool {
        self.journal.bytes() > ANEW_MIN_BYTES.max(self.anew_bytes.saturating_mul(2))
    }

    /// Replaces all that is there, durably.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub(super) fn write_anew(&mut self, records: &[Record]) -> Result<(), JournalError> {
        self.journal.compact(records.iter().map(payload))?;
        self.anew_bytes = self.journal.bytes();
        self.journal.loss_is_on_record()
    }
}

/// Reads without a file of one's own, and alters nothing; also what could not be read.
///
/// # Errors
/// When the disk cannot be read, or the format is newer than this program.
pub(super) fn read(dir: &Path) -> Result<(Ledger, Option<String>), JournalError> {
    let mut reading = Reading::default();
    let discarded = replay_each_read_only(&RealDisk, dir, |_, bytes| reading.take(bytes))?;
    Ok(reading.end(discarded))
}

fn payload(record: &Record) -> Vec<u8> {
    serde_json::to_vec(record).expect("a record has text, numbers and no maps")
}

/// A ledger on its way from the disk.
#[derive(Default)]
struct Reading {
    ledger: Ledger,
    not_understood: u64,
}

impl Reading {
    fn take(&mut self, bytes: &[u8]) {
        match serde_json::from_slice(bytes) {
            Ok(record) => self.ledger.apply(record),
            Err(_) => self.not_understood += 1,
        }
    }

    fn end(self, discarded: Option<Discarded>) -> (Ledger, Option<String>) {
        let mut lost = Vec::new();
        if let Some(Discarded { segment, offset, bytes, reason, kept, .. }) = discarded {
            let kept = kept.first().map(|path| format!(", kept in {}", path.display())).unwrap_or_default();
            lost.push(format!(
                "{bytes} bytes of {segment} from byte {offset} on cannot be read ({reason}){kept}"
            ));
        }
        if self.not_understood > 0 {
            lost.push(format!("{} records are not understood", self.not_understood));
        }
        if self.ledger.is_cut() {
            lost.push("records at its end are missing".to_owned());
        }
        (self.ledger, (!lost.is_empty()).then(|| lost.join("; ")))
    }
}
