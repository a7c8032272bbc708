//! An example of what was counted: the trace in which it happened.
//!
//! Source: OpenMetrics 1.0, "Exemplars"; what lies in a [`Slot`] is read by the protocol of a sequence lock (Boehm, "Can
//! seqlocks get along with programming language memory models?", 2012).

use std::array;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sync::{AtomicU64, Ordering, fence};

/// Most bytes of a trace's id: as many as OpenMetrics allows characters in an exemplar, 128, less the label's name.
pub const TRACE_ID_MAX_BYTES: usize = 128 - LABEL.len();
/// The name of the label.
pub(crate) const LABEL: &str = "trace_id";
/// Words of a text: eight bytes each.
const WORDS: usize = if cfg!(loom) { 2 } else { TRACE_ID_MAX_BYTES / 8 };
/// Times that a reader looks again when somebody wrote meanwhile.
const READS_MAX: usize = if cfg!(loom) { 2 } else { 4 };

/// The trace in which something was counted, and when. Without a time a reader takes that of the scrape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar<'t> {
    trace_id: &'t str,
    /// Seconds since the Unix epoch.
    at: Option<f64>,
}

impl<'t> Exemplar<'t> {
    /// An example out of this trace; none where the id is empty or longer than [`TRACE_ID_MAX_BYTES`].
    pub const fn new(trace_id: &'t str) -> Option<Self> {
        if trace_id.is_empty() || trace_id.len() > TRACE_ID_MAX_BYTES {
            None
        } else {
            Some(Self { trace_id, at: None })
        }
    }

    /// The same example with its time; one before 1970 is left out.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        self.at = time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64());
        self
    }
}

/// An exemplar as a scrape reads it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taken {
    pub(crate) trace_id: String,
    /// What was counted, and not what the count is.
    pub(crate) value: f64,
    /// Seconds since the Unix epoch.
    pub(crate) at: Option<f64>,
}

/// Room for the last exemplar of a counter or a bucket: 152 bytes. Nobody waits for anybody: a writer who finds another
/// one at work leaves it at that, and a reader who finds none at rest does without.
#[derive(Debug, Default)]
pub struct Slot {
    /// Odd while somebody writes; zero until then.
    version: AtomicU64,
    value: AtomicU64,
    /// Not a number where there is no time.
    at: AtomicU64,
    len: AtomicU64,
    text: [AtomicU64; WORDS],
}

impl Slot {
    pub(crate) fn keep(&self, value: f64, exemplar: Exemplar<'_>) {
        let version = self.version.fetch_or(1, Ordering::Acquire);
        if !version.is_multiple_of(2) {
            return;
        }
        // Who sees a word from below and fences as well sees the odd version.
        fence(Ordering::Release);
        self.value.store(value.to_bits(), Ordering::Relaxed);
        self.at.store(exemplar.at.unwrap_or(f64::NAN).to_bits(), Ordering::Relaxed);
        self.len.store(exemplar.trace_id.len() as u64, Ordering::Relaxed);
        for (word, bytes) in self.text.iter().zip(exemplar.trace_id.as_bytes().chunks(8)) {
            let whole = array::from_fn(|at| bytes.get(at).copied().unwrap_or_default());
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        }
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn read(&self) -> Option<Taken> {
        (0..READS_MAX).find_map(|_| self.read_once())?
    }

    /// What is there, if anything; or that somebody wrote meanwhile.
    fn read_once(&self) -> Option<Option<Taken>> {
        let version = self.version.load(Ordering::Acquire);
        if version == 0 {
            return Some(None);
        }
        let words = self.text.each_ref().map(|word| word.load(Ordering::Relaxed));
        let [value, at] = [&self.value, &self.at].map(|word| f64::from_bits(word.load(Ordering::Relaxed)));
        let len = usize::try_from(self.len.load(Ordering::Relaxed)).ok()?;
        fence(Ordering::Acquire);
        if !version.is_multiple_of(2) || self.version.load(Ordering::Relaxed) != version {
            return None;
        }
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).take(len).collect();
        let trace_id = String::from_utf8(bytes).ok()?;
        Some(Some(Taken { trace_id, value, at: Some(at).filter(|at| !at.is_nan()) }))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_kept_last_is_read() {
        let slot = Slot::default();
        assert_eq!(slot.read(), None);
        let long = "ü".repeat(TRACE_ID_MAX_BYTES / 2);
        for (trace_id, value) in
            [("a", 1.0), (long.as_str(), f64::INFINITY), ("12345678", 0.0), ("123456789", -1.0)]
        {
            let exemplar = Exemplar::new(trace_id).unwrap();
            slot.keep(value, exemplar);
            assert_eq!(slot.read(), Some(Taken { trace_id: trace_id.to_owned(), value, at: None }));
            slot.keep(value, exemplar.at(UNIX_EPOCH + Duration::from_millis(1_520_879_607_789)));
            assert_eq!(slot.read().unwrap().at, Some(1_520_879_607.789));
            slot.keep(value, exemplar.at(UNIX_EPOCH - Duration::from_secs(1)));
            assert_eq!(slot.read().unwrap().at, None);
        }
        assert_eq!(Exemplar::new(""), None);
        assert_eq!(Exemplar::new(&format!("{long}x")), None);
    }

    /// Each writer's id, value and time belong together.
    #[test]
    fn what_is_read_was_kept_at_one_time() {
        let slot = Slot::default();
        thread::scope(|scope| {
            let writers: Vec<_> = (0..3_u32)
                .map(|writer| {
                    let slot = &slot;
                    scope.spawn(move || {
                        for i in 0..20_000_u32 {
                            let number = i * 3 + writer;
                            let trace_id = format!("{number:0>width$}", width = 8 + number as usize % 100);
                            let at = UNIX_EPOCH + Duration::from_secs(u64::from(number));
                            slot.keep(f64::from(number), Exemplar::new(&trace_id).unwrap().at(at));
                        }
                    })
                })
                .collect();
            let mut seen = 0;
            while !writers.iter().all(|writer| writer.is_finished()) || seen == 0 {
                if let Some(Taken { trace_id, value, at }) = slot.read() {
                    let number: u32 = trace_id.parse().unwrap();
                    assert_eq!((f64::from(number), at), (value, Some(value)));
                    assert_eq!(trace_id.len(), (8 + number as usize % 100).max(number.to_string().len()));
                    seen += 1;
                }
            }
        });
    }
}
