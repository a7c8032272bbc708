//! Collectors, and what is included, at work: apart from who scrapes, so that one that hangs or panics costs its own samples and no others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::cell::Counter;
use crate::collect::{Collector, SampleSink, Series};
use crate::desc::Desc;

/// Code of others that is asked at a scrape.
pub(crate) trait Asked: Send + Sync + 'static {
    type Answer: Send + 'static;

    /// Whether it was asked and has not come back.
    fn at_work(&self) -> &AtomicBool;

    /// A panic of theirs is a failure.
    fn ask(&self) -> Result<Self::Answer, Failure>;
}

/// A collector with what it was registered for.
pub(crate) struct Guarded {
    pub(crate) descs: Vec<Desc>,
    pub(crate) collector: Arc<dyn Collector>,
    /// Counts what the bound of each family refuses.
    pub(crate) refused: Vec<Counter>,
    pub(crate) at_work: AtomicBool,
}

/// Why there is nothing of a collector in a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It did not answer within the deadline.
    Deadline,
    /// It is still at an earlier scrape, and is not asked anew.
    Busy,
    Panic,
}

impl Failure {
    pub(crate) const ALL: [Self; 3] = [Self::Deadline, Self::Busy, Self::Panic];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Busy => "busy",
            Self::Panic => "panic",
        }
    }
}

impl Asked for Guarded {
    /// The series of each family.
    type Answer = Vec<Vec<Series>>;

    fn at_work(&self) -> &AtomicBool {
        &self.at_work
    }

    fn ask(&self) -> Result<Self::Answer, Failure> {
        let mut sink = SampleSink::new(&self.descs);
        // What it leaves half done is dropped with the sink; its own state is its own matter.
        catch_unwind(AssertUnwindSafe(|| self.collector.collect(&mut sink))).map_err(|_| Failure::Panic)?;
        let (taken, past_bound) = sink.into_parts();
        self.refused.iter().zip(past_bound).for_each(|(counter, count)| counter.inc_by(count));
        Ok(taken)
    }
}

/// Asks each of them, one after another on a thread of their own; one that does not answer within `deadline` is left
/// behind on it, and the others go on on another. Only one gathering at a time: what is at work is taken for what
/// hangs.
pub(crate) fn gather<A: Asked>(asked: &[Arc<A>], deadline: Duration) -> Vec<Result<A::Answer, Failure>> {
    let mut gathered: Vec<_> = asked.iter().map(|_| Err(Failure::Busy)).collect();
    let free = |at: &usize| !asked[*at].at_work().swap(true, Ordering::Acquire);
    let mut waiting: &[usize] = &(0..asked.len()).filter(free).collect::<Vec<_>>();
    while let Some(&first) = waiting.first() {
        let (answers, answered) = sync_channel(waiting.len());
        let left = Arc::new(AtomicBool::new(false));
        let batch: Vec<Arc<A>> = waiting.iter().map(|at| Arc::clone(&asked[*at])).collect();
        let asking = Arc::clone(&left);
        let started = thread::Builder::new()
            .name("collectors".to_owned())
            .spawn(move || ask_all(batch, &asking, &answers));
        if started.is_err() {
            // No thread is to be had: then without a deadline.
            gathered[first] = asked[first].ask();
            asked[first].at_work().store(false, Ordering::Release);
            waiting = &waiting[1..];
            continue;
        }
        while let Some((&next, rest)) = waiting.split_first() {
            waiting = rest;
            match answered.recv_timeout(deadline) {
                Ok(answer) => gathered[next] = answer,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    left.store(true, Ordering::Release);
                    gathered[next] = Err(Failure::Deadline);
                    break;
                }
            }
        }
    }
    gathered
}

fn ask_all<A: Asked>(
    batch: Vec<Arc<A>>,
    left: &AtomicBool,
    answers: &SyncSender<Result<A::Answer, Failure>>,
) {
    for asked in batch {
        if left.load(Ordering::Acquire) {
            return;
        }
        let answer = asked.ask();
        asked.at_work().store(false, Ordering::Release);
        // Whoever asked may have given up.
        if answers.send(answer).is_err() {
            return;
        }
    }
}
