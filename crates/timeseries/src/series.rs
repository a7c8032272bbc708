//! Series: what they are called, and which are known.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A series of this store, for as long as it is open. Ids are given once and never again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub(crate) u32);

/// Past it there are no keys for blocks.
pub(crate) const SERIES_ID_MAX: u32 = (1 << 24) - 1;

/// What the values of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It goes up, and begins anew at zero when its program does. Buckets, sums and counts of histograms are counters.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// What a series is called: a metric's name with labels, sorted. The kind belongs to it, so that a metric which became
/// another kind becomes another series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    pub name: String,
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
    pub kind: Kind,
}

impl SeriesKey {
    /// From labels in any order.
    pub fn new(name: &str, labels: &[(&str, &str)], kind: Kind) -> Self {
        let mut labels: Vec<_> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        labels.sort();
        Self { name: name.to_owned(), labels, kind }
    }

    /// The value of a label; absent and empty are the same.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    fn bytes(&self) -> usize {
        let labels: usize = self.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.name.len() + labels
    }
}

/// Why a series was refused. It is counted already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("there are as many series as there may be: raise the limit, or record fewer labels")]
    TooMany,
    #[error("the name and labels are too long")]
    TooLong,
    #[error("the name is empty, or a label comes twice")]
    Malformed,
}

/// What is known of a series.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Arc<SeriesKey>,
    /// The last sample since the clock was set, with its time.
    pub(crate) last: Option<(i64, f64)>,
    /// The last sample that is in the database.
    pub(crate) sealed: Option<(i64, f64)>,
    /// When the last sample was taken, whatever the clock did; for a series that has none, when it was made.
    pub(crate) seen_ms: i64,
    /// Whether the journal and the database know it.
    pub(crate) journaled: bool,
    pub(crate) kept: bool,
}

/// Every series, by its id and by what it is called.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    entries: BTreeMap<SeriesId, Entry>,
    ids: HashMap<Arc<SeriesKey>, SeriesId>,
    pub(crate) next: u32,
}

impl Catalogue {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn id(&self, key: &SeriesKey) -> Option<SeriesId> {
        self.ids.get(key).copied()
    }

    pub(crate) fn get(&self, id: SeriesId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SeriesId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SeriesId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SeriesId, &mut Entry)> {
        self.entries.iter_mut().map(|(id, entry)| (*id, entry))
    }

    /// Gives a new series its id.
    pub(crate) fn add(
        &mut self,
        key: SeriesKey,
        seen_ms: i64,
        limits: (usize, usize),
    ) -> Result<SeriesId, Refusal> {
        let (series_max, bytes_max) = limits;
        if key.name.is_empty() || key.labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Refusal::Malformed);
        }
        if key.bytes() > bytes_max {
            return Err(Refusal::TooLong);
        }
        if self.entries.len() >= series_max || self.next > SERIES_ID_MAX {
            return Err(Refusal::TooMany);
        }
        let id = SeriesId(self.next);
        self.restore(id, key, seen_ms);
        Ok(id)
    }

    /// Takes a series as the database or the journal has it. The next id is past it.
    pub(crate) fn restore(&mut self, id: SeriesId, key: SeriesKey, seen_ms: i64) {
        let key = Arc::new(key);
        self.next = self.next.max(id.0.saturating_add(1));
        self.ids.insert(Arc::clone(&key), id);
        self.entries
            .insert(id, Entry { key, last: None, sealed: None, seen_ms, journaled: false, kept: false });
    }

    pub(crate) fn remove(&mut self, id: SeriesId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.ids.remove(&entry.key);
        }
    }
}
