//! The log with what waits to be written to it: opened, written, opened anew after a failure, pruned.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nkudo_audit::{AuditError, AuditLog, Entry, Head, HostKey, Opened, PublicKey, newest_first};
use nkudo_host::lock::LockedFile;
use nkudo_journal::Disk;

use crate::error::ScribeError;
use crate::metrics::ScribeMetrics;
use crate::notes::{self, NoteWriter, Taken};
use crate::owner::Owner;
use crate::pending::Pending;
use crate::place::{Options, Place};
use crate::scribe::Kept;
use crate::shown::{Room, Shown, Standing};

/// Entries that wait in memory while the log cannot be written; more are lost, and counted.
pub const WAITING_MAX: usize = 16_384;
/// How often files are pruned that are past their age.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// How often while there is little room. Whether a file is old is seen from its lines, which are read for it.
const PRUNE_EVERY_FULL: Duration = Duration::from_secs(60);
/// How long nothing is pruned after the clock went further at once than lines are kept: it may have been set wrong, and
/// then somebody sets it right.
const DOUBT: Duration = Duration::from_secs(3600);
/// How long after a failed opening the log is opened again: this after the first, twice as long after each further one.
/// An opening reads a whole file and writes it anew.
const REOPEN_MIN: Duration = Duration::from_secs(1);
/// The longest of these waits.
const REOPEN_MAX: Duration = Duration::from_secs(30);

/// A log that can be written.
struct Open<D: Disk> {
    log: AuditLog<D>,
    _lock: Option<LockedFile>,
}

/// A log and what is to be written.
pub(crate) struct Book<D: Disk> {
    disk: D,
    place: Place,
    options: Options,
    metrics: ScribeMetrics,
    shown: Arc<Shown>,
    open: Option<Open<D>>,
    /// Not in the log.
    waiting: VecDeque<Pending>,
    /// In the log under these numbers, and not known to be durable.
    unsynced: VecDeque<(u64, Pending)>,
    /// Entries that were lost, and are not written yet.
    lost: u64,
    /// Notes that are in the log once nothing waits.
    noted: Vec<PathBuf>,
    /// Where the log does not take an entry.
    note_writer: NoteWriter,
    /// What has been durable.
    told: Head,
    /// The uptime of the last pruning.
    pruned_at: Option<Duration>,
    /// What the clock said when it was last looked at.
    seen: Option<Timestamp>,
    /// The uptime before which nothing is pruned.
    doubted_until: Duration,
    /// The last wait for an opening; nothing while they succeed.
    reopen_wait: Duration,
    /// The uptime before which the log is not opened again.
    reopen_at: Duration,
    /// Why the last write failed.
    failure: Option<ScribeError>,
    /// Why notes could not be taken up.
    notes_failure: Option<ScribeError>,
}

impl<D: Disk + Clone> Book<D> {
    /// A log that is not opened yet.
    pub(crate) fn new(disk: D, place: Place, options: Options, metrics: ScribeMetrics) -> Book<D> {
        Book {
            disk,
            place,
            options,
            metrics,
            shown: Arc::new(Shown::new()),
            open: None,
            waiting: VecDeque::new(),
            unsynced: VecDeque::new(),
            lost: 0,
            noted: Vec::new(),
            note_writer: NoteWriter::default(),
            told: Head::START,
            pruned_at: None,
            seen: None,
            doubted_until: Duration::ZERO,
            reopen_wait: Duration::ZERO,
            reopen_at: Duration::ZERO,
            failure: None,
            notes_failure: None,
        }
    }

    pub(crate) fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown)
    }

    /// Writes entries behind those that wait, and tells whether all of them are in the log.
    pub(crate) fn take(&mut self, entries: Vec<Pending>, now: Timestamp) -> Kept {
        let mut entries = entries.into_iter();
        // A log that can be written takes any number of them: a part, then the next.
        loop {
            let free = WAITING_MAX.saturating_sub(self.held());
            self.waiting.extend(entries.by_ref().take(free));
            self.write(now);
            if entries.len() == 0 || self.held() >= WAITING_MAX {
                break;
            }
        }
        let lost = entries.len() as u64;
        self.lost += lost;
        self.metrics.lost.inc_by(lost);
        // On a full disk notes would take the room that ends of something need.
        let may_leave = self.failure.as_ref().is_some_and(|error| !error.is_disk_full());
        let all_in_log = !(may_leave && self.leave_notes(now)) && self.is_settled();
        if all_in_log { Kept::OnDisk } else { Kept::Not }
    }

    /// Leaves what waits and is told only once where it outlives this program. Answers whether there was something.
    fn leave_notes(&mut self, now: Timestamp) -> bool {
        let Self { waiting, note_writer, disk, place, .. } = self;
        let before = waiting.len();
        waiting.retain(|pending| {
            let is_left = pending.told_once && note_writer.leave(disk, &place.notes, &pending.entry, now);
            !is_left
        });
        waiting.len() < before
    }

    /// How many entries are in memory.
    fn held(&self) -> usize {
        self.waiting.len() + self.unsynced.len()
    }

    /// Whether the log can be written and nothing waits for it.
    pub(crate) fn is_settled(&self) -> bool {
        self.open.is_some() && self.waiting.is_empty() && self.unsynced.is_empty() && self.lost == 0
    }

    /// Looks after everything that time brings: notes of others, age, checkpoints, a log that could not be written. `up`
    /// is a time that nobody sets.
    pub(crate) fn tick(&mut self, now: Timestamp, up: Duration) {
        if self.open.is_none() && up >= self.reopen_at {
            self.reopen(now, up);
        }
        self.prune(now, up);
        if self.open.is_some() && self.noted.is_empty() {
            let Taken { entries, paths, failure } = notes::read(&self.disk, &self.place.notes, now);
            self.waiting.extend(entries.into_iter().map(Pending::from));
            self.note_writer.look_again();
            self.noted = paths;
            self.notes_failure = failure;
        }
        let ticked = self.open.as_mut().map_or(Ok(()), |open| open.log.tick(now));
        match ticked {
            Ok(()) => self.write(now),
            Err(error) => self.failed(error, now),
        }
    }

    /// Writes what waits, signs it, and lets go of the log.
    pub(crate) fn close(&mut self, now: Timestamp) {
        // Whatever the last opening said: there is no later one.
        if self.open.is_none()
            && self.held() > 0
            && let Err(error) = self.open_anew(now)
        {
            self.failure = Some(error);
        }
        let signed = self.open.as_mut().map_or(Ok(()), |open| open.log.checkpoint(now));
        match signed {
            Ok(()) => self.write(now),
            Err(error) => self.failed(error, now),
        }
        self.leave_notes(now);
        let entries = self.waiting.len().saturating_sub(self.noted.len());
        if let Some(error) = self.failure.as_ref().filter(|_| entries > 0) {
            tracing::error!(entries, reason = error.told(), "entries did not reach the audit log");
        }
        self.open = None;
    }

    /// What could not be written.
    pub(crate) fn into_waiting(self) -> Vec<Entry<'static>> {
        let unsynced = self.unsynced.into_iter().map(|(_, pending)| pending);
        unsynced.chain(self.waiting).map(|pending| pending.entry).collect()
    }

    fn write(&mut self, now: Timestamp) {
        match self.try_write(now) {
            Ok(()) => self.settled(now),
            Err(error) => self.failed(error, now),
        }
    }

    /// Everything that waits, then one sync. What was appended before a failure is synced as well.
    fn try_write(&mut self, now: Timestamp) -> Result<(), AuditError> {
        let Some(Open { log, .. }) = &mut self.open else { return Ok(()) };
        let mut appended = Ok(());
        while let Some(pending) = self.waiting.pop_front() {
            match log.append(&pending.entry) {
                Ok(seq) => self.unsynced.push_back((seq, pending)),
                Err(error) => {
                    self.waiting.push_front(pending);
                    appended = Err(error);
                    break;
                }
            }
        }
        if appended.is_ok() && self.lost > 0 {
            let entry = Entry::new(now, "audit", "memory", "audit", "lost").field("entries", self.lost);
            appended = log.append(&entry).map(|_| self.lost = 0);
        }
        self.told = log.sync()?;
        self.unsynced.clear();
        appended
    }

    fn settled(&mut self, now: Timestamp) {
        if self.open.is_some() {
            self.failure = None;
            self.reopen_wait = Duration::ZERO;
            notes::remove(&self.disk, &self.place.notes, &std::mem::take(&mut self.noted));
        }
        self.show(now);
    }

    /// A log that is full may have room again; one that failed is opened anew by a tick.
    fn failed(&mut self, error: AuditError, now: Timestamp) {
        if !error.is_storage_full() {
            self.open = None;
        }
        self.failure = Some(error.into());
        self.show(now);
    }

    fn reopen(&mut self, now: Timestamp, up: Duration) {
        let Err(error) = self.open_anew(now) else { return };
        // Without the lock or the key nothing of the log was read: asking for them costs nothing.
        if matches!(error, ScribeError::Log(_)) {
            self.reopen_wait = (self.reopen_wait * 2).clamp(REOPEN_MIN, REOPEN_MAX);
            self.reopen_at = up + self.reopen_wait;
        }
        self.failure = Some(error);
    }

    fn open_anew(&mut self, now: Timestamp) -> Result<(), ScribeError> {
        let lock = lock(&self.place)?;
        let had_key = PublicKey::read(&self.disk, &self.place.public_key()).is_ok();
        let key = HostKey::load_or_create(&self.disk, &self.place.key)?;
        let opened = AuditLog::open(self.disk.clone(), &self.place.log, self.options.log, key);
        let (log, opened) = opened?;
        self.open = Some(Open { log: log.count_in(self.metrics.log.clone()), _lock: lock });
        self.failure = None;
        self.shown.with().opened = Some(opened.head);
        if had_key && opened.head == Head::START && self.told == Head::START {
            self.begins_anew(now);
        }
        self.take_over(&opened, now);
        Ok(())
    }

    /// The key is of an earlier start. That one may have been cut off before its first line; else there were lines, and the
    /// new ones would hide that they are gone.
    fn begins_anew(&mut self, now: Timestamp) {
        let dir = self.place.log.display().to_string();
        tracing::warn!(dir, "the audit log has no line although its key is there: it begins anew");
        self.waiting.push_front(Entry::new(now, "audit", "open", "audit", "began_anew").into());
    }

    /// What was not known to be durable is there now, or is written again; and what was is there, or somebody took it out.
    fn take_over(&mut self, opened: &Opened, now: Timestamp) {
        let Head { seq: last, hash } = opened.head;
        while let Some((seq, pending)) = self.unsynced.pop_back() {
            if seq > last {
                self.waiting.push_front(pending);
            }
        }
        if last < self.told.seq || (last == self.told.seq && hash != self.told.hash) {
            let (durable, found) = (self.told.to_string(), opened.head.to_string());
            tracing::error!(durable, found, "the audit log went back: lines that were durable are gone");
            self.metrics.went_back.inc();
            let entry = Entry::new(now, "audit", "open", "audit", "went_back");
            self.waiting.push_front(entry.field("durable", durable).field("found", found).into());
        }
        if let Some(cut) = &opened.cut {
            tracing::warn!(file = cut.file, bytes = cut.bytes, "a crash had cut the audit log's last line");
            let entry = Entry::new(now, "audit", "open", "audit", "cut_line_set_aside");
            let kept = cut.kept.display().to_string();
            self.waiting.push_front(entry.field("bytes", cut.bytes).field("kept", kept).into());
        }
    }

    fn prune(&mut self, now: Timestamp, up: Duration) {
        let Some(Open { log, .. }) = &mut self.open else { return };
        let keep = SignedDuration::try_from(self.options.keep).unwrap_or(SignedDuration::MAX);
        let Ok(than) = now.checked_sub(keep) else { return };
        // The log's newest line was young once. When it is old now, the program was away for long, or the clock is wrong.
        let seen = self.seen.replace(now).or_else(|| newest(&self.disk, &self.place.log));
        let forward = seen.map_or(SignedDuration::ZERO, |seen| now.duration_since(seen));
        if forward.unsigned_abs() > self.options.keep.max(DOUBT) && forward.is_positive() {
            self.doubted_until = up + DOUBT;
            tracing::warn!(
                hours = forward.as_hours(),
                doubt_seconds = DOUBT.as_secs(),
                "the clock went further than the audit log is kept: nothing is pruned for now"
            );
        }
        if up < self.doubted_until {
            return;
        }
        let since = self.pruned_at.map(|at| up.saturating_sub(at));
        let is_full = log.room_bytes() < self.options.reserve_bytes;
        let every = if is_full { PRUNE_EVERY_FULL } else { PRUNE_EVERY };
        if since.is_some_and(|since| since < every) {
            return;
        }
        self.pruned_at = Some(up);
        match log.prune_older(than, now) {
            Ok(pruned) if pruned.files > 0 => {
                tracing::info!(
                    files = pruned.files,
                    bytes = pruned.bytes,
                    "files of the audit log are past their age"
                );
            }
            Ok(_) => {}
            Err(error) => self.failed(error, now),
        }
    }

    /// Tells everybody how it is, and writes when there came to be room, or none.
    fn show(&mut self, now: Timestamp) {
        let (room, trouble) = self.standing();
        let shown = Arc::clone(&self.shown);
        let mut standing = shown.with();
        let was_free = standing.room == Room::Free;
        *standing = Standing {
            room,
            trouble,
            head: self.open.as_ref().map(|open| open.log.head()).or(standing.head),
            opened: standing.opened,
            refused: standing.refused,
        };
        let returned = (room == Room::Free && standing.refused > 0).then_some(standing.refused);
        if returned.is_some() {
            standing.refused = 0;
        }
        drop(standing);
        #[expect(clippy::cast_precision_loss, reason = "gauges are f64 in the exposition's data model")]
        self.metrics.waiting.set(self.held() as f64);
        self.metrics.full.set(if room == Room::Free { 0.0 } else { 1.0 });
        if let Some(refused) = returned {
            self.waiting.push_back(room_entry(now, "free").field("refused", refused).into());
        } else if was_free && room != Room::Free {
            self.waiting.push_back(room_entry(now, "full").into());
        } else {
            return;
        }
        // At most once: with nothing refused, and the room known, it does not come here again.
        self.write(now);
    }

    fn standing(&self) -> (Room, Option<String>) {
        let reason = |error: &ScribeError| {
            let what = if error.is_storage_full() { "audit storage full" } else { "no audit storage" };
            format!("{what}, so nothing new is begun: {}", error.told())
        };
        if let Some(error) = &self.failure {
            // On a full disk what makes an end of something makes room; its lines wait for that, also where a log was there
            // and could not be opened.
            let room = if error.is_disk_full() {
                Room::Reserve
            } else if error.is_storage_full() {
                Room::None
            } else {
                Room::Broken
            };
            return (room, Some(reason(error)));
        }
        let Some(Open { log, .. }) = &self.open else { return (Room::Broken, None) };
        let (room_bytes, reserve_bytes) = (log.room_bytes(), self.options.reserve_bytes);
        if room_bytes >= reserve_bytes {
            return (Room::Free, self.notes_failure.as_ref().map(ScribeError::told));
        }
        let full = AuditError::Full {
            dir: self.place.log.clone(),
            bytes: log.bytes(),
            limit_bytes: self.options.log.log_bytes,
        };
        let room = if room_bytes >= reserve_bytes / 2 { Room::Reserve } else { Room::None };
        (room, Some(reason(&full.into())))
    }
}

/// When the newest line was written, as far as one can be read.
fn newest<D: Disk>(disk: &D, dir: &Path) -> Option<Timestamp> {
    let mut newest = None;
    let read = newest_first(disk, dir, |record| {
        newest = Some(record.timestamp);
        ControlFlow::Break(())
    });
    if let Err(error) = read {
        tracing::warn!(error = &error as &dyn std::error::Error, "the audit log cannot be read back");
    }
    newest
}

fn room_entry(now: Timestamp, outcome: &'static str) -> Entry<'static> {
    Entry::new(now, "audit", "room", "audit", outcome)
}

fn lock(place: &Place) -> Result<Option<LockedFile>, ScribeError> {
    let failed = |source| ScribeError::Lock { path: place.lock.clone(), source };
    std::fs::create_dir_all(place.dir()).map_err(failed)?;
    let locked = LockedFile::try_exclusive(&place.lock).map_err(failed)?;
    if let Some(owner) = Owner::of(place.dir()) {
        owner.give(&place.lock).map_err(failed)?;
    }
    locked.map(Some).ok_or_else(|| ScribeError::InUse(place.lock.clone()))
}

#[cfg(test)]
mod tests;
