//! The ledger: what is known, and what becomes of it.

use std::collections::VecDeque;

use nkudo_domain::{AgentId, OutageCause};

use super::gap::{Change, cut};
use super::{
    CLOCK_STEP_MIN_MS, Entry, Failure, Gap, Moment, OUTAGES_MAX, Outage, Record, STAMP_EVERY_MS,
    STOOD_STILL_MIN_MS, SUSPEND_MIN_MS,
};

/// The newest outages of a host, and what is needed to tell the next. See the [module's rules](super).
///
/// Whatever changes answers the records to be written down; the ledger has taken them already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    id: String,
    outages: VecDeque<Entry>,
    /// The newest number that was given.
    last_seq: u64,
    acknowledged: u64,
    /// Outages that were dropped for want of room and were not acknowledged, in this life.
    dropped: u64,
    gap: Option<Gap>,
    life: Option<Life>,
    // What is not written down.
    agent_id: Option<AgentId>,
    /// Since when somebody tries.
    trying: Option<Moment>,
    heard: Option<Moment>,
    looked: Option<Moment>,
    stamped: Option<Moment>,
}

/// The life of a daemon as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Life {
    boot_id: String,
    /// When it was last known to live.
    seen: Moment,
    /// How it ended in order; `Some` of it is what failed for good.
    ended: Option<Option<String>>,
}

/// A daemon's life begins.
#[derive(Debug, Clone)]
pub struct Beginning {
    pub at: Moment,
    /// Which boot of the host this is.
    pub boot_id: String,
    /// Who the host is, where it is enrolled.
    pub agent_id: Option<AgentId>,
    /// A name that no other ledger has, in case this one has none, or has lost something.
    pub fresh_id: String,
    /// Some of the records could not be read: numbers may have been given that are not known any more.
    pub damaged: bool,
}

/// Knowing what was written down.
impl Ledger {
    /// Takes a record.
    pub fn apply(&mut self, record: Record) {
        match record {
            Record::Ledger { id } => {
                self.id = id;
                // What was acknowledged beyond is lost, and its numbers are given again under this name.
                self.acknowledged = self.acknowledged.min(self.last_seq);
            }
            Record::Began { boot_id, at } => self.life = Some(Life { boot_id, seen: at, ended: None }),
            Record::Alive { at } => self.seen(at),
            Record::Ended { at, fault } => {
                self.seen(at);
                if let Some(life) = &mut self.life {
                    life.ended = Some(fault);
                }
            }
            Record::Open { gap } | Record::Still { gap } => self.gap = Some(gap),
            Record::Over { entry, closes } => {
                if closes {
                    self.gap = None;
                }
                self.last_seq = self.last_seq.max(entry.seq);
                self.outages.push_back(entry);
                if self.outages.len() > OUTAGES_MAX
                    && let Some(oldest) = self.outages.pop_front()
                {
                    let is_untold = oldest.seq > self.acknowledged && oldest.agent_id.is_some();
                    self.dropped += u64::from(is_untold);
                }
            }
            Record::Acknowledged { seq } => self.acknowledged = self.acknowledged.max(seq),
        }
    }

    /// Records that make the same ledger.
    pub fn snapshot(&self) -> Vec<Record> {
        let mut records = vec![Record::Ledger { id: self.id.clone() }];
        records.push(Record::Acknowledged { seq: self.acknowledged });
        records.extend(self.outages.iter().map(|entry| Record::Over { entry: entry.clone(), closes: false }));
        if let Some(Life { boot_id, seen, ended }) = &self.life {
            records.push(Record::Began { boot_id: boot_id.clone(), at: *seen });
            records.extend(ended.as_ref().map(|fault| Record::Ended { at: *seen, fault: fault.clone() }));
        }
        records.extend(self.gap.as_ref().map(|gap| Record::Open { gap: gap.clone() }));
        records
    }

    /// Whether the records that were read are not all that there were, as far as they tell: something was acknowledged
    /// that they do not have, or outages are there without a life in which they became known. Of the last records nothing
    /// tells whether there were more.
    pub fn is_cut(&self) -> bool {
        self.acknowledged > self.last_seq || (self.life.is_none() && !self.outages.is_empty())
    }

    fn seen(&mut self, at: Moment) {
        if let Some(life) = &mut self.life {
            life.seen = at;
        }
    }
}

/// Hearing what happens.
impl Ledger {
    /// A daemon begins. What the former life left open is over, and why nobody lived until now is told.
    pub fn begin(&mut self, beginning: Beginning) -> Vec<Record> {
        let Beginning { at, boot_id, agent_id, fresh_id, damaged } = beginning;
        let mut records = Vec::new();
        self.agent_id = agent_id;
        self.dropped = 0;
        if self.id.is_empty() || damaged {
            self.take(&mut records, Record::Ledger { id: fresh_id });
        }
        if let (Some(gap), Some(life)) = (&self.gap, &self.life) {
            // Where it began after the last stamp, the stamp is from before it.
            let end = if life.seen.boottime_ms < gap.began.boottime_ms { gap.began } else { life.seen };
            let (agent_id, outage) = (gap.agent_id, gap.until(end));
            self.over(&mut records, agent_id, outage, true);
        }
        if let Some(outage) = self.absence(at, &boot_id) {
            self.over(&mut records, agent_id, outage, false);
        }
        self.take(&mut records, Record::Began { boot_id, at });
        (self.trying, self.heard) = (Some(at), None);
        (self.looked, self.stamped) = (Some(at), Some(at));
        records
    }

    /// Why no daemon lives, if none does: from when the last was known to live until now. None where there never was one.
    pub fn absence(&self, now: Moment, boot_id: &str) -> Option<Outage> {
        let Life { boot_id: former, seen, ended } = self.life.as_ref()?;
        let same_boot = former == boot_id;
        let (cause, evidence) = match ended {
            Some(None) if same_boot => (OutageCause::Stopped, "the agent was stopped".to_owned()),
            Some(None) => {
                (OutageCause::Stopped, "the agent was stopped, and the host has booted since".to_owned())
            }
            Some(Some(fault)) => (OutageCause::Crash, fault.clone()),
            None if same_boot => {
                let within_s = STAMP_EVERY_MS / 1_000;
                let sentence = "the agent ended without a word, as when it is killed or runs out of memory";
                (
                    OutageCause::Crash,
                    format!("{sentence}, at most {within_s} s after it was last known to live"),
                )
            }
            None => {
                let sentence = "the host has booted, and the agent had not ended before: it lost power, was reset, or \
                     its kernel failed";
                (OutageCause::Reboot, sentence.to_owned())
            }
        };
        let duration_ms = if same_boot {
            now.boottime_ms.saturating_sub(seen.boottime_ms)
        } else {
            now.wall_ms.saturating_sub(seen.wall_ms).max(0).unsigned_abs()
        };
        Some(Outage {
            cause,
            evidence,
            began_at_ms: seen.wall_ms,
            ended_at_ms: now.wall_ms,
            duration_ms,
            by_wall_clock: !same_boot,
            failures: 0,
        })
    }

    /// Who the host is now. To be asked for often: only a change does something.
    pub fn enrolled(&mut self, now: Moment, agent_id: Option<AgentId>) -> Vec<Record> {
        let mut records = Vec::new();
        if agent_id != self.agent_id {
            self.close(&mut records, now);
            self.agent_id = agent_id;
            (self.trying, self.heard) = (Some(now), None);
        }
        self.stamp(&mut records, now);
        records
    }

    /// The control plane was heard: the link is there.
    pub fn heard(&mut self, now: Moment) -> Vec<Record> {
        let mut records = Vec::new();
        self.heard = Some(now);
        self.close(&mut records, now);
        self.stamp(&mut records, now);
        records
    }

    /// A try failed, or the link ended; `evidence` are its words.
    pub fn failed(&mut self, now: Moment, failure: Failure, evidence: &str) -> Vec<Record> {
        let mut records = Vec::new();
        let Some(mut gap) = self.gap.clone() else {
            let began = match self.heard {
                Some(heard) if failure.is_silent() => heard,
                Some(_) => now,
                None => self.trying.unwrap_or(now),
            };
            let gap = Gap::begin(began, self.agent_id, failure, evidence);
            self.take(&mut records, Record::Open { gap });
            self.stamp(&mut records, now);
            return records;
        };
        match gap.failed(now, failure, evidence) {
            // Written down with the next stamp.
            Change::Same => self.gap = Some(gap),
            Change::Cause => self.take(&mut records, Record::Open { gap }),
            Change::Followed(at, next) => {
                self.over(&mut records, gap.agent_id, gap.until(at), true);
                self.take(&mut records, Record::Open { gap: *next });
            }
        }
        self.stamp(&mut records, now);
        records
    }

    /// Looks at the clocks; to be called every second or so.
    pub fn look(&mut self, now: Moment) -> Vec<Record> {
        let mut records = Vec::new();
        if let Some(before) = self.looked.replace(now) {
            let slept_ms = passed(before.boottime_ms, now.boottime_ms)
                .saturating_sub(passed(before.monotonic_ms, now.monotonic_ms));
            let stood_ms = passed(before.monotonic_ms, now.monotonic_ms);
            if slept_ms >= SUSPEND_MIN_MS {
                let evidence = format!("the host slept for {}", seconds(slept_ms));
                self.beside(&mut records, OutageCause::Suspend, evidence, now, slept_ms);
            } else if stood_ms >= STOOD_STILL_MIN_MS {
                let stood = seconds(stood_ms);
                let evidence = format!(
                    "the daemon stood still for {stood}: it was stopped by a signal, or the host was far too busy"
                );
                self.beside(&mut records, OutageCause::Suspend, evidence, now, stood_ms);
            }
            let passed_ms = i64::try_from(passed(before.boottime_ms, now.boottime_ms)).unwrap_or(i64::MAX);
            let step_ms = now.wall_ms.saturating_sub(before.wall_ms).saturating_sub(passed_ms);
            if step_ms.unsigned_abs() >= CLOCK_STEP_MIN_MS {
                let way = if step_ms > 0 { "ahead" } else { "back" };
                let evidence = format!("the wall clock was set {way} by {}", seconds(step_ms.unsigned_abs()));
                self.beside(&mut records, OutageCause::ClockStep, evidence, now, 0);
            }
        }
        let stamped_ms = self.stamped.map_or(0, |stamped| stamped.boottime_ms);
        if !records.is_empty() || passed(stamped_ms, now.boottime_ms) >= STAMP_EVERY_MS {
            // What the last failures were is not worth a write of its own.
            if let Some(gap) = self.gap.clone() {
                self.take(&mut records, Record::Still { gap });
            }
            self.stamped = Some(now);
            self.take(&mut records, Record::Alive { at: now });
        }
        records
    }

    /// The daemon ends in order; `fault` says why, where nobody asked it to.
    pub fn end(&mut self, now: Moment, fault: Option<&str>) -> Vec<Record> {
        let mut records = Vec::new();
        self.close(&mut records, now);
        self.take(&mut records, Record::Ended { at: now, fault: fault.map(cut) });
        records
    }

    /// The control plane has all of this ledger up to a number.
    pub fn acknowledged(&mut self, ledger_id: &str, seq: u64) -> Vec<Record> {
        let mut records = Vec::new();
        let seq = seq.min(self.last_seq);
        if ledger_id == self.id && seq > self.acknowledged {
            self.take(&mut records, Record::Acknowledged { seq });
        }
        records
    }

    fn close(&mut self, records: &mut Vec<Record>, now: Moment) {
        if let Some(gap) = &self.gap {
            let (agent_id, outage) = (gap.agent_id, gap.until(now));
            self.over(records, agent_id, outage, true);
        }
    }

    /// An outage that is over as it becomes known, and is no gap.
    fn beside(
        &mut self,
        records: &mut Vec<Record>,
        cause: OutageCause,
        evidence: String,
        now: Moment,
        duration_ms: u64,
    ) {
        let length_ms = i64::try_from(duration_ms).unwrap_or(i64::MAX);
        let outage = Outage {
            cause,
            evidence,
            began_at_ms: now.wall_ms.saturating_sub(length_ms),
            ended_at_ms: now.wall_ms,
            duration_ms,
            by_wall_clock: false,
            failures: 0,
        };
        self.over(records, self.agent_id, outage, false);
    }

    fn over(&mut self, records: &mut Vec<Record>, agent_id: Option<AgentId>, outage: Outage, closes: bool) {
        let entry = Entry { seq: self.last_seq + 1, agent_id, outage };
        self.take(records, Record::Over { entry, closes });
    }

    /// Whatever is written down tells that the daemon lives.
    fn stamp(&mut self, records: &mut Vec<Record>, now: Moment) {
        if !records.is_empty() {
            self.stamped = Some(now);
            self.take(records, Record::Alive { at: now });
        }
    }

    fn take(&mut self, records: &mut Vec<Record>, record: Record) {
        records.push(record.clone());
        self.apply(record);
    }
}

/// Telling.
impl Ledger {
    /// The name that goes with the numbers.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Oldest first.
    pub fn outages(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.outages.iter()
    }

    /// The gap that is open.
    pub fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// What this agent has not been acknowledged after `after`, the oldest first, at most `most`.
    pub fn untold(&self, agent_id: AgentId, after: u64, most: usize) -> Vec<Entry> {
        let after = after.max(self.acknowledged);
        let of_agent = |entry: &&Entry| entry.seq > after && entry.agent_id == Some(agent_id);
        self.outages.iter().filter(of_agent).take(most).cloned().collect()
    }

    /// The newest number that was given.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Outages that were dropped before they were acknowledged, in this life.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// These clocks never step back; a record of another boot may be ahead of them.
fn passed(before_ms: u64, now_ms: u64) -> u64 {
    now_ms.saturating_sub(before_ms)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}
