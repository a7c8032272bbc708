//! Results that somebody elsewhere is to be told: numbered in the order of their end, kept until they are acknowledged.

use nkudo_domain::AgentId;

use crate::actions::Tracked;
use crate::lost::Lost;
use crate::message::Effect;
use crate::record::Record;
use crate::tracker::Tracker;

/// How far the telling is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outbox {
    /// Names this series of numbers; a journal that was lost begins another. Empty before the first recovery.
    pub id: String,
    /// The number of the last result; 0 when there is none.
    pub last: u64,
    /// Every result up to this one has been acknowledged.
    pub acknowledged: u64,
    /// As whom the host reports, or did last. Whatever was taken in before it reported as this one is not told.
    pub reporter: Option<AgentId>,
}

impl Outbox {
    /// Takes the number of a result that is read from a record; records of earlier versions have none.
    pub(crate) fn replayed(&mut self, seq: u64) -> u64 {
        let seq = if seq == 0 { self.last + 1 } else { seq };
        self.last = self.last.max(seq);
        seq
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl Tracker {
    /// How far the telling of results is.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The results after this number, in their order.
    pub fn results_after(&self, seq: u64) -> impl Iterator<Item = (u64, &Tracked)> {
        let number = |tracked: &Tracked| tracked.result_seq.unwrap_or(0);
        let start = self.ended.partition_point(|action_id| {
            self.actions.get(action_id).is_none_or(|tracked| number(tracked) <= seq)
        });
        let later = self.ended.range(start..).filter_map(|action_id| self.actions.get(action_id));
        later.filter(|tracked| !tracked.foreign).map(move |tracked| (number(tracked), tracked))
    }

    /// Begins a new series of numbers when there is none, or when some records were lost.
    pub(crate) fn open_outbox(&mut self) {
        if self.outbox.id.is_empty() || self.config.lost != Lost::Nothing {
            self.begin_series();
        }
    }

    /// The numbers of lost records must not be given again: whoever has heard of them takes no other result under them.
    /// All results that are kept are told anew.
    fn begin_series(&mut self) {
        let used = self.outbox.id.starts_with(&self.config.outbox_id);
        self.outbox.id = match &self.config.outbox_id {
            fresh if self.outbox.id.is_empty() || !used => fresh.clone(),
            fresh => format!("{fresh}.{}", self.outbox.last + 1),
        };
        self.outbox.acknowledged = 0;
        self.write(self.outbox_record());
    }

    /// What was acknowledged and never told was told by records that are lost.
    pub(crate) fn acknowledge(&mut self, seq: u64) {
        if seq > self.outbox.last {
            self.outbox.last = seq;
            self.begin_series();
        } else if seq > self.outbox.acknowledged {
            self.outbox.acknowledged = seq;
            self.write(Record::Acknowledged { seq });
            self.forget_outputs();
        }
    }

    /// Results are told as this agent from here on, or for now to nobody. What was done as another agent is nobody's
    /// business any more: the host may belong to another tenant.
    pub(crate) fn report_as(&mut self, reporter: Option<AgentId>) {
        self.reporting = reporter.is_some();
        self.reporter_is_known = true;
        if let Some(reporter) = reporter
            && self.outbox.reporter != Some(reporter)
        {
            let given_up = self.results_after(self.outbox.acknowledged).count();
            let was_known = self.outbox.reporter.is_some();
            self.change_reporter(reporter);
            self.write(self.outbox_record());
            // The first one owes nothing to another, nor does one after the records of it were lost.
            if was_known {
                self.effects.push(Effect::ReporterChanged { given_up });
            }
        }
    }

    pub(crate) fn change_reporter(&mut self, reporter: AgentId) {
        if self.outbox.reporter.replace(reporter).is_some() {
            self.outbox.acknowledged = self.outbox.last;
            self.actions.values_mut().for_each(|tracked| tracked.foreign = true);
        }
    }

    pub(crate) fn outbox_record(&self) -> Record {
        let Outbox { id, last, acknowledged, reporter } = self.outbox.clone();
        Record::Outbox { id, last, acknowledged, reporter }
    }

    /// Whether a result has to be told to somebody, or may have, as long as nobody has said to whom.
    pub(crate) fn is_owed(&self, tracked: &Tracked) -> bool {
        let reports = if self.reporter_is_known { self.reporting } else { self.outbox.reporter.is_some() };
        reports && !tracked.foreign && tracked.result_seq.is_some_and(|seq| seq > self.outbox.acknowledged)
    }
}
