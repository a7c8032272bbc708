//! A text that is kept from scrape to scrape, in which only those values are written anew that changed.
//!
//! Each value stands at the right of room for the longest of its kind, with blanks before it. Prometheus text 0.0.4 allows
//! any number of them there ("Exposition formats", "Line format"; so do the lexer of Prometheus and the parser of its
//! `expfmt`, which refuses blanks *after* a value), OpenMetrics but one.
//!
//! Writers do nothing for it: a scrape reads each cell and compares it, bit for bit, with what it saw last. What is a new
//! series comes at the end of its family; when one was removed, the family is written anew.
//!
//! **Invariant:** a value is patched only where the series that it is of was written, which the text holds on to.

use std::fmt;

use crate::encode::{self, Format, TextLines, Values, number};
use crate::exemplar::Slot;
use crate::family::{Cell, Family, ReadFamily as _};
use crate::labels::{LabelSet, LabelWriter};
use crate::lines::Lines;
use crate::registry::Registry;
use crate::series::{Reader, SharedEntry};

/// The longest `u64` in decimal, and the longest `f64` that ryu writes: `-2.2250738585072014e-308`.
const WHOLE_WIDTH: usize = 20;
const FRACTION_WIDTH: usize = 24;

/// The exposition of a registry in text 0.0.4, for one scraper that comes often: some 80 bytes a line that it keeps make
/// it several times as quick as [`Registry::encode`] where few values change. Made with [`Registry::patched`].
///
/// ```
/// use nkudo_metrics_core::{Desc, Registry};
///
/// let registry = Registry::new();
/// let jobs = registry.counter(&Desc::counter("jobs_total", "Jobs."));
/// let (mut patched, mut text) = (registry.patched(), Vec::new());
/// patched.encode(&mut text);
/// jobs.inc_by(7);
/// text.clear();
/// patched.encode(&mut text);
/// assert!(text.ends_with(b"\njobs_total                    7\n"));
/// ```
pub struct PatchedText {
    registry: Registry,
    /// By the source in the registry; none for those that are read anew each time.
    families: Vec<Option<Box<dyn PatchFamily>>>,
}

impl fmt::Debug for PatchedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PatchedText").field(&self.registry).finish()
    }
}

impl PatchedText {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, families: Vec::new() }
    }

    /// Appends every family, by name: but for blanks what [`Registry::encode`] appends.
    pub fn encode(&mut self, out: &mut Vec<u8>) {
        let families = &mut self.families;
        self.registry.encode_with(Format::Text004, out, |source, family, out| {
            if families.len() <= source {
                families.resize_with(source + 1, || None);
            }
            families[source].get_or_insert_with(|| family.patched()).append(out);
        });
    }
}

/// The text of one family.
pub(crate) trait PatchFamily: Send {
    fn append(&mut self, out: &mut Vec<u8>);
}

pub(crate) struct FamilyText<L: LabelSet, C: Cell> {
    family: Family<L, C>,
    reader: Reader<L, C::Kept>,
    /// Those whose lines are in the text, in their order.
    entries: Vec<SharedEntry<L, C::Kept>>,
    text: Vec<u8>,
    rooms: Rooms,
}

impl<L: LabelSet, C: Cell> FamilyText<L, C> {
    pub(crate) fn new(family: Family<L, C>) -> Self {
        let (reader, text, rooms) = (family.series().reader(), Self::head(&family), Rooms::default());
        Self { family, reader, entries: Vec::new(), text, rooms }
    }

    fn head(family: &Family<L, C>) -> Vec<u8> {
        let mut text = Vec::new();
        encode::head(Format::Text004, family.desc(), &mut text);
        text
    }

    /// Whether all series of the text are still there, with as many values each: then those are as of now.
    fn patch(&mut self) -> bool {
        let mut patch = Patch { text: &mut self.text, rooms: &mut self.rooms, next: 0 };
        for entry in &self.entries {
            if entry.is_removed() {
                return false;
            }
            self.family.cell_of(entry).write(&mut patch);
        }
        patch.next == self.rooms.seen.len()
    }

    /// Writes the series that came since, up to so many.
    fn extend(&mut self, len: usize) {
        let Self { family, reader, entries, text, rooms } = self;
        let known = entries.len();
        let (name, own_values) = (family.desc().name.as_ref(), family.own_values());
        let mut writer = LabelWriter::of_text(family.desc().labels);
        reader.take_new(len, |entry| {
            let (labels, _) = writer.text_of(&entry.labels);
            let (format, values) = (Format::Text004, &mut *rooms);
            let mut lines = TextLines { format, name, labels, own_values, values, out: &mut *text };
            family.cell_of(&entry).write(&mut lines);
            entries.push(entry);
        });
        if entries.len() > known {
            entries.shrink_to_fit();
            text.shrink_to_fit();
            rooms.seen.shrink_to_fit();
            rooms.ends.shrink_to_fit();
        }
    }
}

impl<L: LabelSet, C: Cell> PatchFamily for FamilyText<L, C> {
    fn append(&mut self, out: &mut Vec<u8>) {
        // First, so that a series that is removed and made anew meanwhile does not come twice.
        let mut len = self.reader.len();
        if !self.reader.is_current(self.family.series()) || !self.patch() {
            *self = Self::new(self.family.clone());
            len = self.reader.len();
        }
        self.extend(len);
        out.extend_from_slice(&self.text);
    }
}

/// Where the values of a text are, in the order of its lines.
#[derive(Debug, Default)]
struct Rooms {
    /// Where the line feed after each is.
    ends: Vec<usize>,
    /// The bits of what was written.
    seen: Vec<u64>,
}

impl Values for &mut Rooms {
    fn whole(&mut self, value: u64, text: &str, out: &mut Vec<u8>) {
        self.add(WHOLE_WIDTH, value, text, out);
    }

    fn fraction(&mut self, value: f64, text: &str, out: &mut Vec<u8>) {
        self.add(FRACTION_WIDTH, value.to_bits(), text, out);
    }
}

impl Rooms {
    fn add(&mut self, width: usize, bits: u64, text: &str, out: &mut Vec<u8>) {
        out.resize(out.len() + width, b' ');
        let end = out.len();
        right(&mut out[end - width..], text);
        out.push(b'\n');
        self.ends.push(end);
        self.seen.push(bits);
    }
}

/// Writes a value at the right of its room.
fn right(room: &mut [u8], text: &str) {
    let blanks = room.len() - text.len();
    room[..blanks].fill(b' ');
    room[blanks..].copy_from_slice(text.as_bytes());
}

/// Takes where each series stands, and writes what changed.
struct Patch<'p> {
    text: &'p mut [u8],
    rooms: &'p mut Rooms,
    next: usize,
}

impl Patch<'_> {
    /// The room of the next value, if it is another one than was seen.
    #[inline]
    fn changed(&mut self, bits: u64, width: usize) -> Option<&mut [u8]> {
        let at = self.next;
        self.next += 1;
        let seen = self.rooms.seen.get_mut(at).filter(|seen| **seen != bits)?;
        *seen = bits;
        let end = self.rooms.ends[at];
        Some(&mut self.text[end - width..end])
    }

    fn whole(&mut self, value: u64) {
        if let Some(room) = self.changed(value, WHOLE_WIDTH) {
            right(room, itoa::Buffer::new().format(value));
        }
    }

    fn fraction(&mut self, value: f64) {
        if let Some(room) = self.changed(value.to_bits(), FRACTION_WIDTH) {
            right(room, number(&mut ryu::Buffer::new(), value));
        }
    }
}

impl Lines for Patch<'_> {
    fn integer(&mut self, value: u64, _exemplars: &[Slot]) {
        self.whole(value);
    }

    fn float(&mut self, value: f64, _exemplars: &[Slot]) {
        self.fraction(value);
    }

    fn buckets(
        &mut self,
        bounds: &[f64],
        in_bucket: &mut dyn FnMut(usize) -> u64,
        sum: f64,
        _exemplars: &[Slot],
    ) {
        let mut total = 0;
        for bucket in 0..=bounds.len() {
            total += in_bucket(bucket);
            self.whole(total);
        }
        self.fraction(sum);
        self.whole(total);
    }

    fn quantiles(&mut self, quantiles: &[(f64, f64)], sum: f64, count: u64) {
        quantiles.iter().for_each(|(_, value)| self.fraction(*value));
        self.fraction(sum);
        self.whole(count);
    }

    fn states(&mut self, count: usize, _name: &dyn Fn(usize) -> String, is_on: &dyn Fn(usize) -> bool) {
        (0..count).for_each(|index| self.whole(u64::from(is_on(index))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desc::Desc;
    use crate::label_set;

    label_set! {
        struct ByNumber { number: u32 }
    }

    #[test]
    fn a_series_that_is_removed_and_made_anew_during_a_scrape_comes_once() {
        let registry = Registry::new();
        let desc = Desc::counter("x_total", "X.").labels(&["number"]);
        let family = registry.counter_family::<ByNumber>(&desc);
        (0..3).for_each(|number| family.get(&ByNumber { number }).inc());
        let mut text = FamilyText::new(family.clone());
        let lines = |text: &FamilyText<_, _>| {
            let lines = String::from_utf8(text.text.clone()).expect("it is text");
            lines.lines().skip(2).map(|line| line.replace("                   ", "")).collect::<Vec<_>>()
        };
        text.append(&mut Vec::new());
        let len = text.reader.len();
        assert!(text.patch());
        assert!(family.remove(&ByNumber { number: 1 }));
        family.get(&ByNumber { number: 1 }).inc_by(5);
        text.extend(len);
        let line = |number: u32, value: u32| format!("x_total{{number=\"{number}\"}} {value}");
        assert_eq!(lines(&text), [line(0, 1), line(1, 1), line(2, 1)], "as when the scrape began");
        text.append(&mut Vec::new());
        assert_eq!(lines(&text), [line(0, 1), line(2, 1), line(1, 5)]);
        family.get(&ByNumber { number: 0 }).inc();
        family.get(&ByNumber { number: 3 });
        text.append(&mut Vec::new());
        assert_eq!(lines(&text), [line(0, 2), line(2, 1), line(1, 5), line(3, 0)]);
    }
}
